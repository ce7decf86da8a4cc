#!/usr/bin/env python3
"""Makes `secrets.yaml`, `authorities.yaml`, `lists.yaml` and `fetched.yaml` beside it: every certificate that the cases name with `# with:`.

Run by hand, with python3-cryptography, only when a case needs another certificate; what it writes is checked in, for the keys differ
each time. THE KEYS ARE FOR TESTS: they are public, and nothing may ever trust them. Dates are far away, so that the cases hold for long.
"""

import base64
import datetime
import pathlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

HERE = pathlib.Path(__file__).parent
NOTICE = "# Written by make.py. TEST KEYS: public, and trusted by nobody.\n"


def year(number):
    return datetime.datetime(number, 1, 1, tzinfo=datetime.timezone.utc)


def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def p256():
    return ec.generate_private_key(ec.SECP256R1())


class Identity:
    def __init__(self, subject, names=(), by=None, key=None, begin=2026, end=2126, ca=False, usage=None, aia=None, may_sign=True):
        self.key = key or p256()
        issuer = by or self
        builder = (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(by.certificate.subject if by else name(subject))
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(year(begin))
            .not_valid_after(year(end))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(entry) for entry in names]), critical=False)
        if not may_sign:
            flags = ["content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign"]
            flags = dict.fromkeys([*flags, "encipher_only", "decipher_only"], False)
            builder = builder.add_extension(x509.KeyUsage(digital_signature=True, **flags), critical=True)
        if usage:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if aia:
            place = x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, x509.UniformResourceIdentifier(aia))
            builder = builder.add_extension(x509.AuthorityInformationAccess([place]), critical=False)
        signer = issuer.key
        digest = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
        self.certificate = builder.sign(signer, digest)

    def pem(self):
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def key_pem(self, form=serialization.PrivateFormat.PKCS8, cipher=None):
        cipher = cipher or serialization.NoEncryption()
        return self.key.private_bytes(serialization.Encoding.PEM, form, cipher).decode()


def staple(of, by, end, status=ocsp.OCSPCertStatus.GOOD):
    revoked = status == ocsp.OCSPCertStatus.REVOKED
    builder = ocsp.OCSPResponseBuilder().add_response(
        cert=of.certificate,
        issuer=by.certificate,
        algorithm=hashes.SHA1(),
        cert_status=status,
        this_update=year(2026),
        next_update=year(end),
        revocation_time=year(2027) if revoked else None,
        revocation_reason=None,
    )
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, by.certificate)
    return builder.sign(by.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def crl(by, end, revoked=()):
    builder = x509.CertificateRevocationListBuilder().issuer_name(by.certificate.subject).last_update(year(2026)).next_update(year(end))
    builder = builder.add_extension(x509.CRLNumber(1), critical=False)
    for identity in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(identity.certificate.serial_number).revocation_date(year(2026)).build()
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(by.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def parts(der):
    """The values of a SEQUENCE, each with its tag and length."""

    def header(at):
        size = der[at + 1]
        count = size & 0x7F if size & 0x80 else 0
        return 2 + count, int.from_bytes(der[at + 2 : at + 2 + count], "big") if count else size

    at, _ = header(0)
    while at < len(der):
        begin, length = header(at)
        yield der[at : at + begin + length]
        at += begin + length


def tlv(tag, content):
    size = len(content)
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag]) + (bytes([size]) if size < 0x80 else bytes([0x80 | len(octets)]) + octets) + content


ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
ECDSA_SHA1 = bytes.fromhex("300906072a8648ce3d0401")


def signed(values, by, label, algorithm=ECDSA_SHA256):
    """Values of a certificate or list to be, signed: for forms that no library writes any more."""
    tbs = tlv(0x30, b"".join(values))
    signature = tlv(0x03, b"\0" + by.key.sign(tbs, ec.ECDSA(hashes.SHA256())))
    text = base64.encodebytes(tlv(0x30, tbs + algorithm + signature)).decode().replace("\n", "")
    lines = "".join(text[at : at + 64] + "\n" for at in range(0, len(text), 64))
    return f"-----BEGIN {label}-----\n{lines}-----END {label}-----\n"


def list_without(by, *positions):
    """A list without some of: version, algorithm, issuer, thisUpdate, nextUpdate, extensions."""
    builder = x509.CertificateRevocationListBuilder().issuer_name(by.certificate.subject)
    builder = builder.last_update(year(2026)).next_update(year(2126)).add_extension(x509.CRLNumber(1), critical=False)
    values = list(parts(builder.sign(by.key, hashes.SHA256()).tbs_certlist_bytes))
    return signed([value for position, value in enumerate(values) if position not in positions], by, "X509 CRL")


def list_with(by, extension, critical):
    builder = x509.CertificateRevocationListBuilder().issuer_name(by.certificate.subject)
    builder = builder.last_update(year(2026)).next_update(year(2126)).add_extension(x509.CRLNumber(2), critical=False)
    return builder.add_extension(extension, critical).sign(by.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def weak(of, by):
    """A certificate that says of itself that it is signed with SHA-1; the compiler does not verify."""
    values = list(parts(of.certificate.tbs_certificate_bytes))
    return signed([ECDSA_SHA1 if value == ECDSA_SHA256 else value for value in values], by, "CERTIFICATE", ECDSA_SHA1)


def version_1(of, by=None):
    """Of a certificate, without version and extensions."""
    values = list(parts(of.certificate.tbs_certificate_bytes))[1:]
    return signed([value for value in values if value[0] != 0xA3], by or of, "CERTIFICATE")


def block(values, indent="  "):
    text = ""
    for key, value in values.items():
        if isinstance(value, bytes):
            continue
        if not value:
            text += f'{indent}{key}: ""\n'
            continue
        text += f"{indent}{key}: |\n" + "".join(f"{indent}  {line}\n" for line in value.splitlines())
    return text


def secret(key, values, namespace="infra"):
    binary = {field: value for field, value in values.items() if isinstance(value, bytes)}
    text = f"---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: {key}\n  namespace: {namespace}\ntype: Opaque\n"
    if binary:
        text += "data:\n" + "".join(f"  {field}: {base64.b64encode(value).decode()}\n" for field, value in binary.items())
    return text + "stringData:\n" + block(values)


def config_map(key, values, namespace):
    text = f"---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {key}\n  namespace: {namespace}\n"
    return text + ("data:\n" + block(values) if values else "data: {}\n")


def pair(identity, *chain, **more):
    return {"tls.crt": "".join(entry.pem() for entry in (identity, *chain)), "tls.key": identity.key_pem(), **more}


CA = Identity("Test CA", ca=True)
OTHER = Identity("Other CA", ca=True)
MIDDLE = Identity("Test Intermediate", by=CA, ca=True)
OLD = Identity("Old CA", ca=True, begin=2020, end=2021)
FUTURE = Identity("Future CA", ca=True, begin=2100)


def leaf(label, **more):
    return Identity(label, names=[f"{label}.example.com"], **{"by": CA, **more})


def secrets():
    good = leaf("good")
    yield "good", pair(good)
    yield "wildcard", pair(Identity("wildcard", names=["*.example.com", "example.com"], by=CA))
    yield "any-test", pair(Identity("any-test", names=["*.ends.test", "*.https.test", "*.grpc.test"], by=CA))
    traditional = serialization.PrivateFormat.TraditionalOpenSSL
    for label, key, form in [
        ("rsa-pkcs1", rsa.generate_private_key(65537, 2048), traditional),
        ("rsa-pkcs8", rsa.generate_private_key(65537, 2048), serialization.PrivateFormat.PKCS8),
        ("p256-sec1", p256(), traditional),
        ("p384-sec1", ec.generate_private_key(ec.SECP384R1()), traditional),
        ("p521-pkcs8", ec.generate_private_key(ec.SECP521R1()), serialization.PrivateFormat.PKCS8),
        ("ed25519", ed25519.Ed25519PrivateKey.generate(), serialization.PrivateFormat.PKCS8),
    ]:
        identity = leaf(label, key=key)
        yield label, {"tls.crt": identity.pem(), "tls.key": identity.key_pem(form)}
    yield "expired", pair(leaf("expired", begin=2020, end=2021))
    yield "not-yet-valid", pair(leaf("not-yet-valid", begin=2100))
    yield "key-mismatch", {"tls.crt": leaf("key-mismatch").pem(), "tls.key": good.key_pem()}
    encrypted = leaf("key-encrypted")
    yield "key-encrypted", {
        "tls.crt": encrypted.pem(),
        "tls.key": encrypted.key_pem(cipher=serialization.BestAvailableEncryption(b"passphrase")),
    }
    yield "key-short", pair(leaf("key-short", key=rsa.generate_private_key(65537, 1024)))
    yield "key-curve", pair(leaf("key-curve", key=ec.generate_private_key(ec.SECP256K1())))
    yield "key-none", {"tls.crt": leaf("key-none").pem(), "tls.key": "none"}
    yield "key-missing", {"tls.crt": leaf("key-missing").pem()}
    yield "certificate-missing", {"tls.key": good.key_pem()}
    yield "certificate-none", {"tls.crt": "Hello world", "tls.key": good.key_pem()}
    yield "certificate-broken", {"tls.crt": good.pem().replace("-----END", "--END"), "tls.key": good.key_pem()}
    garbage = "-----BEGIN CERTIFICATE-----\nSGVsbG8gd29ybGQK\n-----END CERTIFICATE-----\n"
    yield "certificate-garbage", {"tls.crt": good.pem() + garbage, "tls.key": good.key_pem()}
    yield "chain", pair(leaf("chain", by=MIDDLE), MIDDLE)
    disordered = leaf("chain-order", by=MIDDLE)
    yield "chain-order", {"tls.crt": CA.pem() + MIDDLE.pem() + disordered.pem(), "tls.key": disordered.key_pem()}
    yield "chain-unrelated", pair(leaf("chain-unrelated"), OTHER)
    yield "chain-incomplete", pair(leaf("chain-incomplete", by=MIDDLE, aia="http://ca.example.com/middle.crt"))
    yield "chain-without-middle", pair(leaf("chain-without-middle", by=MIDDLE), **{"ca.crt": CA.pem()})
    yield "client-only", pair(leaf("client-only", usage=ExtendedKeyUsageOID.CLIENT_AUTH))
    yield "server-only", pair(leaf("server-only", usage=ExtendedKeyUsageOID.SERVER_AUTH))
    yield "authority", pair(leaf("authority", by=None, ca=True))
    yield "common-name-only", pair(Identity("common-name-only.example.com", by=CA))
    stapled = leaf("stapled")
    yield "stapled", pair(stapled, **{"tls.ocsp-staple": staple(stapled, CA, 2126)})
    stale = leaf("stapled-stale")
    yield "stapled-stale", pair(stale, **{"tls.ocsp-staple": staple(stale, CA, 2029)})
    other = leaf("stapled-other")
    yield "stapled-other", pair(other, **{"tls.ocsp-staple": staple(stapled, CA, 2126)})
    revoked = leaf("stapled-revoked")
    answer = staple(revoked, CA, 2126, ocsp.OCSPCertStatus.REVOKED)
    yield "stapled-revoked", pair(revoked, **{"tls.ocsp-staple": answer})
    failed = leaf("stapled-failed")
    answer = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER)
    yield "stapled-failed", pair(failed, **{"tls.ocsp-staple": answer.public_bytes(serialization.Encoding.DER)})
    yield "stapled-garbage", pair(leaf("stapled-garbage"), **{"tls.ocsp-staple": b"Hello world"})
    unknown = leaf("stapled-unknown")
    answer = staple(unknown, CA, 2126, ocsp.OCSPCertStatus.UNKNOWN)
    yield "stapled-unknown", pair(unknown, **{"tls.ocsp-staple": answer})
    old = leaf("weak-signature")
    yield "weak-signature", {"tls.crt": weak(old, CA), "tls.key": old.key_pem()}


def bundles():
    garbage = "-----BEGIN CERTIFICATE-----\nSGVsbG8gd29ybGQK\n-----END CERTIFICATE-----\n"
    lost = leaf("lost")
    yield "ca", {"ca.crt": CA.pem()}
    yield "other-ca", {"ca.crt": OTHER.pem()}
    yield "ca-twice", {"ca.crt": CA.pem() + OTHER.pem() + CA.pem()}
    yield "ca-absent", {}
    yield "ca-empty", {"ca.crt": ""}
    yield "ca-broken", {"ca.crt": CA.pem().replace("-----END", "--END")}
    yield "ca-garbage", {"ca.crt": garbage}
    yield "ca-partly-garbage", {"ca.crt": garbage + CA.pem()}
    yield "ca-leaf", {"ca.crt": leaf("pinned").pem()}
    yield "ca-expired", {"ca.crt": OLD.pem() + CA.pem()}
    yield "ca-not-yet-valid", {"ca.crt": FUTURE.pem()}
    yield "ca-crl", {"ca.crt": CA.pem() + OTHER.pem(), "ca.crl": crl(CA, 2126, [lost]) + crl(OTHER, 2126)}
    yield "ca-crl-stale", {"ca.crt": CA.pem(), "ca.crl": crl(CA, 2029)}
    yield "ca-crl-broken", {"ca.crt": CA.pem(), "ca.crl": "Hello world"}


def lists():
    """Lists that cannot be used, each beside one that can; and authorities of forms that are seldom."""
    good = crl(OTHER, 2126)
    scope = x509.IssuingDistributionPoint(None, None, False, False, None, True, False)
    strange = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    for label, bad in [
        ("crl-version-1", list_without(CA, 0, 5)),
        ("crl-no-extensions", list_without(CA, 5)),
        ("crl-no-next-update", list_without(CA, 4)),
        ("crl-delta", list_with(CA, x509.DeltaCRLIndicator(1), True)),
        ("crl-critical-extension", list_with(CA, strange, True)),
        ("crl-indirect", list_with(CA, scope, True)),
    ]:
        yield label, {"ca.crt": CA.pem() + OTHER.pem(), "ca.crl": bad + good}
    yield "ca-version-1", {"ca.crt": version_1(CA)}
    yield "ca-may-not-sign", {"ca.crt": Identity("No CA", ca=True, may_sign=False).pem()}
    yield "ca-leaf-version-1", {"ca.crt": version_1(leaf("old"), CA) + CA.pem()}


def fetched():
    """An authority, and lists that it has signed, as its distribution point gives them."""
    authority = Identity("Publishing CA", ca=True)
    yield "publishing-ca", {"ca.crt": authority.pem(), "ca.crl": crl(authority, 2126, [leaf("lost", by=authority)])}
    yield "publishing-ca-stale", {"ca.crt": authority.pem(), "ca.crl": crl(authority, 2029)}


text = NOTICE + "".join(secret(key, values) for key, values in secrets())
(HERE / "secrets.yaml").write_text(text)
text = NOTICE
entries = list(bundles())
for namespace in ["infra", "apps"]:
    text += "".join(config_map(key, values, namespace) for key, values in entries)
    text += secret("ca-secret", {"ca.crt": OTHER.pem(), "ca.crl": crl(OTHER, 2126)}, namespace)
    text += secret("ca-secret-without", {"tls.crt": CA.pem()}, namespace)
text += "---\napiVersion: certificates.k8s.io/v1beta1\nkind: ClusterTrustBundle\nmetadata:\n  name: cluster-ca\nspec:\n"
text += block({"trustBundle": CA.pem()})
(HERE / "authorities.yaml").write_text(text)
(HERE / "lists.yaml").write_text(NOTICE + "".join(config_map(key, values, "infra") for key, values in lists()))
(HERE / "fetched.yaml").write_text(NOTICE + "".join(config_map(key, values, "infra") for key, values in fetched()))
