//! Values in rules that have a form of their own: names, paths, origins, shares.

use http::{HeaderName, HeaderValue, Method};
use sealway_api::Fraction;

use crate::problem::Cause;
use crate::snapshot::CorsOrigin;

/// What a duration must be.
pub(super) const A_DURATION: &str = "a duration such as `30s` or `1m30s`";

/// A value that the specification does not list, or that is not what it must be.
pub(in crate::compile) fn unsupported(value: &str, expected: &'static str) -> Cause {
    Cause::ValueUnsupported {
        value: value.to_owned(),
        expected,
    }
}

/// The methods that the specification lists.
pub(super) fn method(text: &str) -> Result<Method, Cause> {
    match text {
        "GET" => Ok(Method::GET),
        "HEAD" => Ok(Method::HEAD),
        "POST" => Ok(Method::POST),
        "PUT" => Ok(Method::PUT),
        "DELETE" => Ok(Method::DELETE),
        "CONNECT" => Ok(Method::CONNECT),
        "OPTIONS" => Ok(Method::OPTIONS),
        "TRACE" => Ok(Method::TRACE),
        "PATCH" => Ok(Method::PATCH),
        _ => Err(unsupported(text, "a method of HTTP in upper case")),
    }
}

pub(in crate::compile) fn header_name(text: &str) -> Result<HeaderName, Cause> {
    HeaderName::from_bytes(text.as_bytes()).map_err(|_| unsupported(text, "the name of a header"))
}

/// Headers that frame messages or belong to one connection are not for routes to write: they decide where a message ends.
pub(in crate::compile) fn editable_header(text: &str) -> Result<HeaderName, Cause> {
    let name = header_name(text)?;
    match name.as_str() {
        "connection" | "content-length" | "keep-alive" | "proxy-connection" | "te" | "trailer" | "transfer-encoding"
        | "upgrade" => Err(unsupported(text, "a header that a route may write")),
        _ => Ok(name),
    }
}

/// Those of one connection are never passed on, so that removing them does no harm.
pub(super) fn removable_header(text: &str) -> Result<HeaderName, Cause> {
    let name = header_name(text)?;
    match name.as_str() {
        "content-length" | "host" | "transfer-encoding" => Err(unsupported(text, "a header that a route may remove")),
        _ => Ok(name),
    }
}

/// Visible ASCII, spaces and tabs.
pub(in crate::compile) fn header_value(text: &str) -> Result<HeaderValue, Cause> {
    HeaderValue::from_str(text).map_err(|_| unsupported(text, "a value that a header can have"))
}

/// A path as it stands in a request: nothing of a query or a fragment.
pub(super) fn path(text: &str) -> Result<&str, Cause> {
    let is_path = text.starts_with('/')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#'));
    if is_path {
        Ok(text)
    } else {
        Err(unsupported(text, "a path that begins with `/`"))
    }
}

/// A host without port.
pub(super) fn host(text: &str) -> Result<&str, Cause> {
    let is_host = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    if is_host {
        Ok(text)
    } else {
        Err(unsupported(text, "a host name"))
    }
}

/// An origin (RFC 6454): `*`, or scheme, host and port, where the host may begin with a wildcard.
pub(super) fn origin(text: &str) -> Result<CorsOrigin, Cause> {
    if text == "*" {
        return Ok(CorsOrigin::Any);
    }
    let wrong = || unsupported(text, "an origin such as `https://*.example.com:8443`");
    let lower = text.to_ascii_lowercase();
    let (scheme, authority) = lower.split_once("://").ok_or_else(wrong)?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse::<u16>().map_err(|_| wrong())?)),
        None => (authority, None),
    };
    // Browsers leave out the port that belongs to the scheme.
    let port = match (scheme, port) {
        ("http", Some(80)) | ("https", Some(443)) | (_, None) => String::new(),
        (_, Some(port)) => format!(":{port}"),
    };
    let suffix = match host.strip_prefix('*') {
        Some("") => Some(""),
        Some(rest) => Some(rest.strip_prefix('.').ok_or_else(wrong)?),
        None => None,
    };
    let name = suffix.unwrap_or(host);
    let is_name = super::values::host(name).is_ok() && (!name.is_empty() || suffix.is_some());
    if !matches!(scheme, "http" | "https") || !is_name {
        return Err(wrong());
    }
    Ok(match suffix {
        Some(suffix) => CorsOrigin::Wildcard {
            scheme: format!("{scheme}://"),
            suffix: suffix.to_owned(),
            port,
        },
        None => CorsOrigin::Exact(format!("{scheme}://{host}{port}")),
    })
}

/// How many of how many requests a mirror gets: all of them unless it is said.
pub(in crate::compile) fn share(percent: Option<i32>, fraction: Option<&Fraction>) -> Result<(u32, u32), Cause> {
    let wrong = |value: String| Cause::ValueUnsupported {
        value,
        expected: "a share of the requests, from 0 to all of them",
    };
    let (numerator, denominator) = match (percent, fraction) {
        (None, None) => (100, 100),
        (Some(percent), None) => (percent, 100),
        (None, Some(fraction)) => (fraction.numerator, fraction.denominator),
        (Some(percent), Some(_)) => return Err(wrong(format!("{percent} % and a fraction"))),
    };
    match (u32::try_from(numerator), u32::try_from(denominator)) {
        (Ok(part), Ok(whole)) if whole > 0 && part <= whole => Ok((part, whole)),
        _ => Err(wrong(format!("{numerator}/{denominator}"))),
    }
}

/// The last line of an error, which says what is wrong; the lines before it draw the expression.
pub(super) fn last_line(error: &str) -> String {
    let line = error.lines().last().unwrap_or_default().trim();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_what_browsers_send() {
        let exact = |text: &str| CorsOrigin::Exact(text.to_owned());
        let wildcard = |scheme: &str, suffix: &str, port: &str| CorsOrigin::Wildcard {
            scheme: scheme.to_owned(),
            suffix: suffix.to_owned(),
            port: port.to_owned(),
        };
        assert_eq!(origin("*").ok(), Some(CorsOrigin::Any));
        assert_eq!(origin("https://Www.Foo.com").ok(), Some(exact("https://www.foo.com")));
        assert_eq!(origin("https://www.foo.com:443").ok(), Some(exact("https://www.foo.com")));
        assert_eq!(origin("http://www.foo.com:8080").ok(), Some(exact("http://www.foo.com:8080")));
        assert_eq!(origin("https://*.bar.com").ok(), Some(wildcard("https://", "bar.com", "")));
        assert_eq!(origin("http://*:80").ok(), Some(wildcard("http://", "", "")));
        for wrong in [
            "",
            "foo.com",
            "ftp://foo.com",
            "https://",
            "https://a.*.com",
            "https://*foo.com",
            "https://foo.com:99999",
        ] {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn shares_are_between_nothing_and_all() {
        let fraction = |numerator, denominator| Fraction { numerator, denominator };
        assert_eq!(share(None, None).ok(), Some((100, 100)));
        assert_eq!(share(Some(0), None).ok(), Some((0, 100)));
        assert_eq!(share(None, Some(&fraction(1, 3))).ok(), Some((1, 3)));
        assert!(share(Some(101), None).is_err() && share(Some(-1), None).is_err());
        assert!(share(None, Some(&fraction(4, 3))).is_err() && share(None, Some(&fraction(0, 0))).is_err());
        assert!(share(Some(1), Some(&fraction(1, 3))).is_err());
    }

    #[test]
    fn headers_that_frame_messages_are_not_for_routes() {
        assert!(editable_header("X-Header").is_ok() && editable_header("Host").is_ok());
        assert!(editable_header("Content-Length").is_err() && editable_header("transfer-encoding").is_err());
        assert!(editable_header("a b").is_err() && header_value("a\r\nb").is_err());
    }
}
