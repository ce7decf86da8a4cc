#!/usr/bin/env python3
"""Makes `secrets.yaml` and `authorities.yaml` beside it: every certificate that the cases name with `# with:`.

Run by hand, with python3-cryptography, only when a case needs another certificate; what it writes is checked in, for the keys differ
each time. THE KEYS ARE FOR TESTS: they are public, and nothing may ever trust them. Dates are far away, so that the cases hold for long.
"""

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
    def __init__(self, subject, names=(), by=None, key=None, begin=2026, end=2126, ca=False, usage=None, aia=None, digest=None):
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
        if usage:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if aia:
            place = x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, x509.UniformResourceIdentifier(aia))
            builder = builder.add_extension(x509.AuthorityInformationAccess([place]), critical=False)
        signer = issuer.key
        digest = None if isinstance(signer, ed25519.Ed25519PrivateKey) else digest or hashes.SHA256()
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
    for identity in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(identity.certificate.serial_number).revocation_date(year(2026)).build()
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(by.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


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
    import base64

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
