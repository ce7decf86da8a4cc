//! What the patterns of the embedded definitions mean, in words. A test checks that each has words here.

use super::structure::Schema;

/// Completes "must be …".
pub(super) fn of_pattern(pattern: &str) -> Option<&'static str> {
    let meaning = PATTERNS.iter().find(|(known, _)| *known == pattern);
    meaning.map(|(_, meaning)| *meaning)
}

/// Completes "Invalid value: …: ". The definitions have alternatives for addresses only: the value must be of the type that it says.
pub(super) fn of_alternatives(schema: &Schema) -> &'static str {
    if schema.properties.contains_key("value") && schema.properties.contains_key("type") {
        "`value` must be an IPv4 or IPv6 address when `type` is IPAddress"
    } else {
        "must match exactly one of the schema's alternatives"
    }
}

const PATTERNS: [(&str, &str); 23] = [
    (r"^[a-z0-9_.-]+$", "lower-case letters, digits, `_`, `.` and `-`"),
    (r"^[a-zA-Z0-9_.:/-]+$", "letters, digits, `_`, `.`, `:`, `/` and `-`"),
    (r"^[!-~]+([\t ]?[!-~]+)*$", "printable ASCII without blanks at either end"),
    (
        r"^([0-9]{1,5}(h|m|s|ms)){1,4}$",
        "a duration as in `1h30m`, `10s` or `500ms` (GEP-2257)",
    ),
    (r"^([0-9]+(\.[0-9]+)?(s|m|h))+$", "a duration as in `1h30m` or `1.5s`"),
    (
        r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        "a DNS label: lower-case letters, digits and `-`, with a letter or digit at both ends",
    ),
    (
        r"^[A-Za-z0-9!#$%&'*+\-.^_\x60|~]+$",
        "an HTTP header name: letters, digits and !#$%&'*+-.^_`|~",
    ),
    (
        r"^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$",
        "a kind: letters, digits and `-`, beginning with a letter",
    ),
    (r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$", "a reason in CamelCase"),
    (
        r"^[a-zA-Z0-9_.:/-]+( [a-zA-Z0-9_.:/-]+)*$",
        "words of letters, digits, `_`, `.`, `:`, `/` and `-`, one blank apart",
    ),
    (
        r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$",
        "a label value: letters, digits, `-`, `_` and `.`",
    ),
    (
        r"^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|[%][0-9a-fA-F]{2})+$",
        "the path of a URL (RFC 3986)",
    ),
    (
        r"^(([^:/?#]+):)(//([^/?#]*))([^?#]*)(\?([^#]*))?(#(.*))?",
        "an absolute URI with scheme and authority",
    ),
    (
        r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        "a DNS name without wildcard: lower-case letters, digits, `-` and `.`, with a letter or digit at both ends of each label",
    ),
    (
        r"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        "an API group as in `gateway.networking.k8s.io`, or empty for core",
    ),
    (
        r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        "a hostname in lower case, which may begin with `*.`, without port and trailing dot",
    ),
    (
        r"(^\*$)|(^(http(s)?):\/\/(((\*\.)?([a-zA-Z0-9\-]+\.)*[a-zA-Z0-9-]+|\*)(:([0-9]{1,5}))?)$)",
        "`*`, or an origin as in `https://example.com:8443`",
    ),
    (
        r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[A-Za-z0-9\/\-._~%!$&'()*+,;=:]+$",
        "a DNS name, `/` and a path, as in `sealway.dev/gateway-controller`",
    ),
    (
        r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
        "a label key, optionally after a DNS name and `/`",
    ),
    (
        r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$",
        "a quantity as in `100m` or `64Mi`",
    ),
    (
        r"^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?$|[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[A-Za-z0-9]+$",
        "a protocol: HTTP, HTTPS, TLS, TCP, UDP, or one of an implementation, as in `example.com/bar`",
    ),
    (
        r"^(System|([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]))$",
        "`System`, or a name of an implementation as in `example.com/roots`",
    ),
    (
        r"^Hostname|IPAddress|NamedAddress|[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[A-Za-z0-9\/\-._~%!$&'()*+,;=:]+$",
        "IPAddress, Hostname, NamedAddress, or a type of an implementation as in `example.com/address`",
    ),
];
