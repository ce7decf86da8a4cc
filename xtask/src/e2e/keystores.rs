//! Keystores of the issuer, opened by those who are to use them: Java's `keytool`, `openssl pkcs12`, Python's `cryptography`.
//!
//! PBMAC1 of profile Modern2026 needs Java 26 or OpenSSL 3.4, which Debian 12 has not: there it is Python's word, with its own OpenSSL.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, ensure};
use sealway_api::{KeyEncoding, Password, Pkcs12Profile, Timestamp};
use sealway_demo::certificates::Identity;
use sealway_issuer::PrivateKey;
use sealway_issuer::keystore::{KeyParts, Trusted, jks, pkcs12, random_salts, subject_text};

use super::context::Context;
use super::process::{Output, command, run};

/// Every profile that Java 17 knows, and JKS: entries, chains, and that the key can sign.
pub(crate) async fn keytool(context: &Context) -> anyhow::Result<String> {
    let stores = Stores::write(context, "keytool")?;
    for profile in &PROFILES[..3] {
        let store = stores.path(profile, "keystore.p12");
        keytool_list(&store, PASSWORD)
            .await?
            .saying("Entry type: PrivateKeyEntry")?
            .saying("Certificate chain length: 2")?;
        keytool_sign(&store, PASSWORD, "1").await?;
        keytool_list(&store, "another").await?.failure("password was incorrect")?;
        let store = stores.path(profile, "truststore.p12");
        keytool_list(&store, PASSWORD)
            .await?
            .saying("Your keystore contains 1 entry")?
            .saying("Entry type: trustedCertEntry")?
            .saying(&format!("Alias name: {}", stores.subject.to_lowercase()))?;
    }
    for (store, password) in [("keystore.jks", PASSWORD), ("beyond-ascii.jks", BEYOND_ASCII)] {
        let store = stores.directory.join(store);
        keytool_list(&store, password)
            .await?
            .saying("Your keystore contains 2 entries")?
            .saying("Alias name: payment")?
            .saying("Entry type: PrivateKeyEntry")?
            .saying("Certificate chain length: 1")?
            .saying("Alias name: ca")?;
        keytool_sign(&store, password, "payment").await?;
        keytool_list(&store, "another").await?.failure("password was incorrect")?;
    }
    let trust = stores.directory.join("truststore.jks");
    keytool_list(&trust, PASSWORD)
        .await?
        .saying("Your keystore contains 1 entry")?
        .saying("Alias name: ca")?;
    Ok("three profiles of PKCS#12 and JKS list their entries, and their keys sign".to_owned())
}

/// Algorithms, certificates and key; the old ciphers from the legacy provider.
pub(crate) async fn openssl(context: &Context) -> anyhow::Result<String> {
    let stores = Stores::write(context, "pkcs12")?;
    let algorithms = [
        (
            "MAC: sha1, Iteration 1\n",
            "pbeWithSHA1And40BitRC2-CBC, Iteration 2048",
            "pbeWithSHA1And3-KeyTripleDES-CBC",
        ),
        (
            "MAC: sha1, Iteration 1\n",
            "pbeWithSHA1And3-KeyTripleDES-CBC, Iteration 2048",
            "pbeWithSHA1And3-KeyTripleDES-CBC",
        ),
        (
            "MAC: sha256, Iteration 2048\n",
            "PBES2, PBKDF2, AES-256-CBC, Iteration 2048, PRF hmacWithSHA256",
            "PBES2",
        ),
    ];
    for (profile, (mac, certificates, key)) in PROFILES.iter().zip(algorithms) {
        openssl_info(&stores.path(profile, "keystore.p12"), PASSWORD)
            .await?
            .saying(mac)?
            .saying(&format!("PKCS7 Encrypted data: {certificates}"))?
            .saying(&format!("Shrouded Keybag: {key}"))?
            .saying(stores.key_pem.trim())?
            .success()?;
        openssl_info(&stores.path(profile, "truststore.p12"), PASSWORD)
            .await?
            .saying(&format!("friendlyName: {}", stores.subject))?
            .saying(JAVA_TRUSTED)?
            .success()?;
        openssl_info(&stores.path(profile, "keystore.p12"), "another")
            .await?
            .failure("invalid password")?;
        openssl_info(&stores.path(profile, "beyond-ascii.p12"), BEYOND_ASCII)
            .await?
            .success()?;
    }
    Ok("three profiles: MAC, ciphers and counts are theirs, and the key comes out".to_owned())
}

/// All four profiles.
pub(crate) async fn cryptography(context: &Context) -> anyhow::Result<String> {
    let stores = Stores::write(context, "cryptography")?;
    let python = context.python_cryptography().await?;
    let mut script = command(python, ["-c", OPEN]);
    script.arg(PASSWORD);
    for profile in &PROFILES {
        script
            .arg(stores.path(profile, "keystore.p12"))
            .arg(stores.path(profile, "truststore.p12"));
    }
    let text = run(script, "").await?.success()?;
    let opened = format!("key of the certificate, 1 more; 1 trusted: {}\n", stores.subject).repeat(PROFILES.len());
    ensure!(text == opened, "expected\n{opened}got\n{text}");
    Ok("four profiles open, PBMAC1 included, and each key is its certificate's".to_owned())
}

async fn keytool_list(store: &Path, password: &str) -> anyhow::Result<Output> {
    run(java(store, password, &["-list", "-v"]), "").await
}

/// A certificate request is signed by the key: it was read, and it is a key.
async fn keytool_sign(store: &Path, password: &str, alias: &str) -> anyhow::Result<()> {
    let request = run(java(store, password, &["-certreq", "-alias", alias]), "").await?;
    let request = request.success()?;
    let verified = run(command("openssl", ["req", "-verify", "-noout"]), &request).await?;
    verified.saying("verify OK")?.success()?;
    Ok(())
}

fn java(store: &Path, password: &str, flags: &[&str]) -> tokio::process::Command {
    let mut keytool = command("keytool", flags);
    // Arguments are in the encoding of the locale, and messages in its language.
    keytool
        .arg("-keystore")
        .arg(store)
        .args(["-storepass", password])
        .env("LC_ALL", "C.UTF-8");
    keytool
}

async fn openssl_info(store: &Path, password: &str) -> anyhow::Result<Output> {
    let mut openssl = command(
        "openssl",
        ["pkcs12", "-legacy", "-info", "-nodes", "-passin", &format!("pass:{password}")],
    );
    openssl.arg("-in").arg(store).env("LC_ALL", "C.UTF-8");
    run(openssl, "").await
}

/// Files of one identity in every form.
struct Stores {
    directory: PathBuf,
    /// Of the authority, as an alias.
    subject: String,
    key_pem: String,
}

impl Stores {
    fn write(context: &Context, name: &str) -> anyhow::Result<Self> {
        let directory = context.directory(name)?;
        let (identity, authority) = (&context.certificates.payment, &context.certificates.authority);
        let chain = der(identity)?;
        let certificate = der(authority.identity())?.into_iter().next().context("no certificate")?;
        let private_key = PrivateKey::read(identity.key().expose_pem().as_bytes())?;
        let key = private_key.to_pkcs8_der();
        let subject = subject_text(&certificate)?;
        let created = Timestamp::try_from(SystemTime::now())?;
        let trusted = |alias: &str| {
            let (alias, certificate) = (alias.to_owned(), certificate.clone());
            [Trusted {
                alias,
                certificate,
                created,
            }]
        };
        let parts = KeyParts {
            key: &key,
            chain: &chain,
            authorities: &trusted("ca"),
            created,
        };
        let stores = Self {
            directory,
            subject,
            key_pem: String::from_utf8(private_key.to_pem(&KeyEncoding::Pkcs8).expose().to_vec())?,
        };
        for (password, suffix) in [(PASSWORD, "keystore"), (BEYOND_ASCII, "beyond-ascii")] {
            let password = Password::new(password.to_owned());
            for profile in &PROFILES {
                let store = pkcs12::key_store(profile, &parts, &password, &mut random_salts)?;
                fs::write(stores.path(profile, &format!("{suffix}.p12")), store.expose())?;
            }
            let store = jks::key_store("Payment", &parts, &password, &mut random_salts)?;
            fs::write(stores.directory.join(format!("{suffix}.jks")), store.expose())?;
        }
        let password = Password::new(PASSWORD.to_owned());
        for profile in &PROFILES {
            let store = pkcs12::trust_store(profile, &trusted(&stores.subject), &password, &mut random_salts)?;
            fs::write(stores.path(profile, "truststore.p12"), store)?;
        }
        fs::write(
            stores.directory.join("truststore.jks"),
            jks::trust_store(&trusted("ca"), &password)?,
        )?;
        Ok(stores)
    }

    fn path(&self, profile: &Pkcs12Profile, file: &str) -> PathBuf {
        self.directory.join(format!("{profile}.{file}"))
    }
}

fn der(identity: &Identity) -> anyhow::Result<Vec<Vec<u8>>> {
    Ok(identity
        .certificates()?
        .into_iter()
        .map(|certificate| certificate.to_vec())
        .collect())
}

/// Java 17 does not know the last.
const PROFILES: [Pkcs12Profile; 4] = [
    Pkcs12Profile::LegacyRc2,
    Pkcs12Profile::LegacyDes,
    Pkcs12Profile::Modern2023,
    Pkcs12Profile::Modern2026,
];
const PASSWORD: &str = "pass word!";
const BEYOND_ASCII: &str = "pässwörd 🔑";
/// Java's attribute of trusted certificates, which OpenSSL has no name for.
const JAVA_TRUSTED: &str = "2.16.840.1.113894.746875.1.1: ";
/// The password, then keystore and truststore of each profile.
const OPEN: &str = "import sys
from cryptography.hazmat.primitives.serialization import pkcs12
password, files = sys.argv[1].encode(), sys.argv[2:]
for keys, trust in zip(files[::2], files[1::2]):
    keys = pkcs12.load_pkcs12(open(keys, 'rb').read(), password)
    assert keys.key.public_key() == keys.cert.certificate.public_key()
    trusted = pkcs12.load_pkcs12(open(trust, 'rb').read(), password).additional_certs
    names = ' '.join(one.friendly_name.decode() for one in trusted)
    print(f'key of the certificate, {len(keys.additional_certs)} more; {len(trusted)} trusted: {names}')";
