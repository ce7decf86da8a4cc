//! Filters: checked, and compiled to what the data plane does.
//!
//! A filter that cannot be understood makes its rule invalid. A reference to a filter of a kind that Sealway has not makes the requests
//! that it would process fail: it must not be skipped (apis/v1/httproute_types.go, HTTPRouteFilter).

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use sealway_api::{
    ExternalAuthProtocol, HttpCors, HttpExternalAuth, HttpFilterType, HttpHeader, HttpHeaderFilter, HttpPathModifier,
    HttpRequestMirror, HttpRequestRedirect, HttpRouteFilter, HttpUrlRewrite, PathModifierType,
};

use super::{Context, values};
use crate::problem::Cause;
use crate::snapshot::{
    AuthProtocol, Cors, ExternalAuth, Filters, HeaderEdit, Mirror, PathModifier, Redirect, Rewrite, RuleFault, RuleKind, Target,
};

/// Whose filters they are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Rule,
    Backend,
}

impl<'a> Context<'_, 'a> {
    /// The filters of a rule or backend; `replaces_prefix` says whether a matched prefix can be replaced there.
    pub(super) fn filters(
        &mut self,
        at: &str,
        written: &'a [HttpRouteFilter],
        owner: Owner,
        replaces_prefix: bool,
    ) -> (Filters, Option<RuleFault>) {
        let mut filters = Filters::default();
        let mut fault = None;
        for (position, filter) in written.iter().enumerate() {
            let at = format!("{at}.filters[{position}]");
            if let Some(known) = self.expected(filter, owner) {
                self.fail(format_args!("{at}.type"), values::unsupported(filter.kind.as_str(), known));
                continue;
            }
            if self.is_in_the_way(&at, filter, written.get(..position).unwrap_or_default()) {
                continue;
            }
            if filter.kind == HttpFilterType::ExtensionRef {
                self.extension(&at, filter);
                fault = Some(RuleFault::Filter);
            } else if self.filter(&at, filter, replaces_prefix, &mut filters).is_none() && !is_complete(filter) {
                let kind = filter.kind.to_string();
                self.fail(at, Cause::FilterIncomplete { kind });
            }
        }
        (filters, fault)
    }

    /// What a filter should have been, when it cannot stand where it does.
    fn expected(&self, filter: &HttpRouteFilter, owner: Owner) -> Option<&'static str> {
        match (&filter.kind, self.kind) {
            (
                HttpFilterType::RequestHeaderModifier
                | HttpFilterType::ResponseHeaderModifier
                | HttpFilterType::RequestMirror
                | HttpFilterType::ExtensionRef,
                _,
            )
            | (HttpFilterType::UrlRewrite, RuleKind::Http) => None,
            // Here they act before a backend is chosen. ExternalAuth the specification has for rules only (apis/v1/httproute_types.go).
            (HttpFilterType::Cors | HttpFilterType::ExternalAuth | HttpFilterType::RequestRedirect, RuleKind::Http) => {
                (owner == Owner::Backend).then_some("a filter that this version has for a single backend: give it to the rule")
            }
            (_, RuleKind::Http) => Some("a filter of HTTPRoutes"),
            (_, RuleKind::Grpc) => Some("a filter of GRPCRoutes"),
        }
    }

    /// Filters stand once, save mirrors and extensions; a redirect leaves nothing to rewrite.
    fn is_in_the_way(&mut self, at: &str, filter: &HttpRouteFilter, earlier: &[HttpRouteFilter]) -> bool {
        let has = |kind: &HttpFilterType| earlier.iter().any(|other| other.kind == *kind);
        let rival = match filter.kind {
            HttpFilterType::RequestMirror | HttpFilterType::ExtensionRef => return false,
            HttpFilterType::RequestRedirect => Some(HttpFilterType::UrlRewrite),
            HttpFilterType::UrlRewrite => Some(HttpFilterType::RequestRedirect),
            _ => None,
        };
        let kind = filter.kind.to_string();
        let cause = match rival.filter(&has) {
            Some(rival) => Cause::FiltersIncompatible {
                one: rival.to_string(),
                other: kind,
            },
            None if has(&filter.kind) => Cause::FilterRepeated { kind },
            None => return false,
        };
        self.fail(at, cause);
        true
    }

    /// `ExtensionRef`: every kind is one that Sealway has not.
    fn extension(&mut self, at: &str, filter: &HttpRouteFilter) {
        let reference = filter.extension_ref.clone().unwrap_or_default();
        let cause = Cause::ExtensionUnsupported {
            group: reference.group,
            kind: reference.kind,
            name: reference.name,
        };
        self.report(format_args!("{at}.extensionRef"), cause.clone());
        self.unresolved.get_or_insert(cause);
    }

    /// One filter that is known; `None` when it is invalid, which has been said, or has nothing to do.
    pub(super) fn filter(
        &mut self,
        at: &str,
        filter: &'a HttpRouteFilter,
        replaces_prefix: bool,
        filters: &mut Filters,
    ) -> Option<()> {
        match &filter.kind {
            HttpFilterType::RequestHeaderModifier => {
                let written = filter.request_header_modifier.as_ref()?;
                filters.request_headers = self.header_edit(&format!("{at}.requestHeaderModifier"), written)?;
            }
            HttpFilterType::ResponseHeaderModifier => {
                let written = filter.response_header_modifier.as_ref()?;
                filters.response_headers = self.header_edit(&format!("{at}.responseHeaderModifier"), written)?;
            }
            HttpFilterType::RequestMirror => {
                let mirror = self.mirror(&format!("{at}.requestMirror"), filter.request_mirror.as_ref()?)?;
                filters.mirrors.push(Arc::new(mirror));
            }
            HttpFilterType::RequestRedirect => {
                let written = filter.request_redirect.as_ref()?;
                let redirect = self.redirect(&format!("{at}.requestRedirect"), written, replaces_prefix)?;
                filters.redirect = Some(Arc::new(redirect));
            }
            HttpFilterType::UrlRewrite => {
                let written = filter.url_rewrite.as_ref()?;
                let rewrite = self.rewrite(&format!("{at}.urlRewrite"), written, replaces_prefix)?;
                filters.rewrite = Some(Arc::new(rewrite));
            }
            HttpFilterType::Cors => {
                let cors = self.cors(&format!("{at}.cors"), filter.cors.as_ref()?)?;
                filters.cors = Some(Arc::new(cors));
            }
            HttpFilterType::ExternalAuth => {
                let auth = self.external_auth(&format!("{at}.externalAuth"), filter.external_auth.as_ref()?)?;
                filters.external_auth = Some(Arc::new(auth));
            }
            HttpFilterType::ExtensionRef | HttpFilterType::Other(_) => {}
        }
        Some(())
    }

    fn header_edit(&mut self, at: &str, written: &HttpHeaderFilter) -> Option<HeaderEdit> {
        let set = self.header_lines(&format!("{at}.set"), &written.set);
        let add = self.header_lines(&format!("{at}.add"), &written.add);
        let mut remove: Vec<HeaderName> = Vec::with_capacity(written.remove.len());
        for (position, name) in written.remove.iter().enumerate() {
            let name = self.check(format_args!("{at}.remove[{position}]"), values::removable_header(name))?;
            if !remove.contains(&name) {
                remove.push(name);
            }
        }
        let edit = HeaderEdit {
            set: set?,
            add: add?,
            remove,
        };
        // "Only one action for a given header name is permitted."
        let mut names: Vec<&HeaderName> = edit.set.iter().chain(&edit.add).map(|(name, _)| name).collect();
        names.extend(&edit.remove);
        names.sort_unstable_by_key(|name| name.as_str());
        let twice = names.windows(2).find_map(|pair| match pair {
            [one, two] if one == two => Some(one.to_string()),
            _ => None,
        });
        match twice {
            Some(name) => {
                self.fail(at, Cause::HeaderTwice { name });
                None
            }
            None => Some(edit),
        }
    }

    /// Of equivalent names the first counts.
    fn header_lines(&mut self, at: &str, written: &[HttpHeader]) -> Option<Vec<(HeaderName, HeaderValue)>> {
        let mut lines: Vec<(HeaderName, HeaderValue)> = Vec::with_capacity(written.len());
        for (position, header) in written.iter().enumerate() {
            let name = self.check(format_args!("{at}[{position}].name"), values::editable_header(&header.name));
            let value = self.check(format_args!("{at}[{position}].value"), values::header_value(&header.value));
            let (name, value) = (name?, value?);
            if !lines.iter().any(|(other, _)| *other == name) {
                lines.push((name, value));
            }
        }
        Some(lines)
    }

    /// A mirror whose backend cannot be had is left out; the requests themselves go on.
    fn mirror(&mut self, at: &str, written: &'a HttpRequestMirror) -> Option<Mirror> {
        let share = values::share(written.percent, written.fraction.as_ref());
        let (numerator, denominator) = self.check(at, share)?;
        let backend = self.backend(format_args!("{at}.backendRef"), &written.backend_ref);
        matches!(backend.target, Target::Backend(_)).then_some(Mirror {
            backend,
            numerator,
            denominator,
        })
    }

    fn redirect(&mut self, at: &str, written: &HttpRequestRedirect, replaces_prefix: bool) -> Option<Redirect> {
        let scheme = written.scheme.as_deref().filter(|scheme| !scheme.is_empty());
        if let Some(other) = scheme.filter(|scheme| !matches!(*scheme, "http" | "https")) {
            let cause = values::unsupported(other, "one of `http`, `https`");
            self.fail(format_args!("{at}.scheme"), cause);
            return None;
        }
        let status = written.status_code.unwrap_or(302);
        if !matches!(status, 301 | 302 | 303 | 307 | 308) {
            let cause = values::unsupported(&status.to_string(), "one of 301, 302, 303, 307, 308");
            self.fail(format_args!("{at}.statusCode"), cause);
            return None;
        }
        let hostname = match written.hostname.as_deref().filter(|host| !host.is_empty()) {
            Some(host) => Some(self.check(format_args!("{at}.hostname"), values::host(host))?.to_owned()),
            None => None,
        };
        let path = match &written.path {
            Some(path) => Some(self.path_modifier(&format!("{at}.path"), path, replaces_prefix)?),
            None => None,
        };
        Some(Redirect {
            scheme: scheme.map(str::to_owned),
            hostname,
            port: written.port.filter(|port| *port != 0),
            path,
            status,
        })
    }

    fn rewrite(&mut self, at: &str, written: &HttpUrlRewrite, replaces_prefix: bool) -> Option<Rewrite> {
        let hostname = match written.hostname.as_deref().filter(|host| !host.is_empty()) {
            Some(host) => {
                let host = values::host(host).and_then(values::header_value);
                Some(self.check(format_args!("{at}.hostname"), host)?)
            }
            None => None,
        };
        let path = match &written.path {
            Some(path) => Some(self.path_modifier(&format!("{at}.path"), path, replaces_prefix)?),
            None => None,
        };
        Some(Rewrite { hostname, path })
    }

    fn path_modifier(&mut self, at: &str, written: &HttpPathModifier, replaces_prefix: bool) -> Option<PathModifier> {
        let kind = written.kind.to_string();
        let incomplete = || Cause::FilterIncomplete { kind: kind.clone() };
        match &written.kind {
            PathModifierType::ReplaceFullPath => {
                let value = written.replace_full_path.as_deref().ok_or_else(incomplete);
                // Nothing for the whole path is its root.
                let value = value.and_then(|value| if value.is_empty() { Ok("/") } else { values::path(value) });
                let value = self.check(format_args!("{at}.replaceFullPath"), value)?;
                Some(PathModifier::Full(value.to_owned()))
            }
            PathModifierType::ReplacePrefixMatch => {
                if !replaces_prefix {
                    self.fail(format_args!("{at}.type"), Cause::PrefixMatchNeeded);
                    return None;
                }
                let value = written.replace_prefix_match.as_deref().ok_or_else(incomplete);
                let value = value.and_then(|value| if value.is_empty() { Ok(value) } else { values::path(value) });
                let value = self.check(format_args!("{at}.replacePrefixMatch"), value)?;
                Some(PathModifier::Prefix(value.to_owned()))
            }
            PathModifierType::Other(other) => {
                let cause = values::unsupported(other, "one of `ReplaceFullPath`, `ReplacePrefixMatch`");
                self.fail(format_args!("{at}.type"), cause);
                None
            }
        }
    }

    fn cors(&mut self, at: &str, written: &HttpCors) -> Option<Cors> {
        let mut origins = Vec::with_capacity(written.allow_origins.len());
        for (position, origin) in written.allow_origins.iter().enumerate() {
            origins.push(self.check(format_args!("{at}.allowOrigins[{position}]"), values::origin(origin))?);
        }
        let mut methods = Vec::with_capacity(written.allow_methods.len());
        for (position, method) in written.allow_methods.iter().enumerate() {
            let is_good = method == "*" || values::method(method).is_ok();
            let good = is_good
                .then(|| method.clone())
                .ok_or_else(|| values::unsupported(method, "a method of HTTP or `*`"));
            methods.push(self.check(format_args!("{at}.allowMethods[{position}]"), good)?);
        }
        let headers = self.header_names(&format!("{at}.allowHeaders"), &written.allow_headers)?;
        let expose = self.header_names(&format!("{at}.exposeHeaders"), &written.expose_headers)?;
        let max_age =
            u32::try_from(written.max_age).map_err(|_| values::unsupported(&written.max_age.to_string(), "a number of seconds"));
        Some(Cors {
            origins,
            credentials: written.allow_credentials.unwrap_or(false),
            methods,
            headers,
            expose,
            max_age: self.check(format_args!("{at}.maxAge"), max_age)?,
        })
    }

    /// As they are written: they are sent so. `*` stands for all.
    fn header_names(&mut self, at: &str, written: &[String]) -> Option<Vec<String>> {
        for (position, name) in written.iter().enumerate().filter(|(_, name)| *name != "*") {
            self.check(format_args!("{at}[{position}]"), values::header_name(name))?;
        }
        Some(written.to_vec())
    }

    /// A server that cannot be had stays: what it should be asked about is refused.
    fn external_auth(&mut self, at: &str, written: &'a HttpExternalAuth) -> Option<ExternalAuth> {
        let protocol = match &written.protocol {
            ExternalAuthProtocol::Grpc => {
                let config = written.grpc.clone().unwrap_or_default();
                AuthProtocol::Grpc {
                    request_headers: self.parsed_names(&format!("{at}.grpc.allowedHeaders"), &config.allowed_headers)?,
                }
            }
            ExternalAuthProtocol::Http => {
                let config = written.http.clone().unwrap_or_default();
                let path = if config.path.is_empty() {
                    Ok("")
                } else {
                    values::path(&config.path)
                };
                let path_prefix = self.check(format_args!("{at}.http.path"), path)?.to_owned();
                let response_headers = &config.allowed_response_headers;
                AuthProtocol::Http {
                    path_prefix,
                    request_headers: self.parsed_names(&format!("{at}.http.allowedHeaders"), &config.allowed_headers)?,
                    response_headers: self.parsed_names(&format!("{at}.http.allowedResponseHeaders"), response_headers)?,
                }
            }
            ExternalAuthProtocol::Other(other) => {
                let cause = values::unsupported(other, "one of `GRPC`, `HTTP`");
                self.fail(format_args!("{at}.protocol"), cause);
                return None;
            }
        };
        let limit = written
            .forward_body
            .as_ref()
            .and_then(|body| usize::try_from(body.max_size).ok());
        Some(ExternalAuth {
            backend: self.backend(format_args!("{at}.backendRef"), &written.backend_ref),
            protocol,
            body_limit: limit.filter(|limit| *limit > 0),
        })
    }

    fn parsed_names(&mut self, at: &str, written: &[String]) -> Option<Vec<HeaderName>> {
        let names = written.iter().enumerate();
        names
            .map(|(position, name)| self.check(format_args!("{at}[{position}]"), values::header_name(name)))
            .collect()
    }
}

/// Whether a filter has the field that its type names.
pub(super) fn is_complete(filter: &HttpRouteFilter) -> bool {
    match filter.kind {
        HttpFilterType::RequestHeaderModifier => filter.request_header_modifier.is_some(),
        HttpFilterType::ResponseHeaderModifier => filter.response_header_modifier.is_some(),
        HttpFilterType::RequestMirror => filter.request_mirror.is_some(),
        HttpFilterType::RequestRedirect => filter.request_redirect.is_some(),
        HttpFilterType::UrlRewrite => filter.url_rewrite.is_some(),
        HttpFilterType::Cors => filter.cors.is_some(),
        HttpFilterType::ExternalAuth => filter.external_auth.is_some(),
        HttpFilterType::ExtensionRef | HttpFilterType::Other(_) => true,
    }
}
