//! The article's own manifests, with what it leaves out and its two wrong references corrected: the embedded issuer issues, `openssl`,
//! `curl` and GnuTLS judge what it made, and payment is reached with mutual TLS through the gateway.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use sealway_testkit::{free_port, loopback, wait_until};
use tokio::process::Child;

use crate::e2e::context::Context;
use crate::e2e::process::{START, command, excerpt, run, serve, until_said};

/// Everything that the article shows with certificates.
pub(crate) async fn issued(context: &Context) -> anyhow::Result<String> {
    let site = Site::prepare(context, "article-issued", &CORRECTIONS).await?;
    let backend = loopback(free_port());
    let _gateway = site
        .serve(context, &format!("payment/payment-service:8443={backend}"))
        .await?;

    let python = context.python_cryptography().await?;
    for (namespace, name) in ISSUED {
        let (chain, trust) = (
            site.exported(namespace, name, "tls.crt"),
            site.exported(namespace, name, "ca.crt"),
        );
        let verify = command("openssl", ["verify", "-x509_strict", "-CAfile", &trust, &chain]);
        run(verify, "").await?.saying(": OK")?.success()?;
        let certtool = command("certtool", ["--verify", "--load-ca-certificate", &trust, "--infile", &chain]);
        run(certtool, "").await?.saying("The certificate is trusted")?.success()?;
        let printed = run(
            command("keytool", ["-J-Duser.language=en", "-printcert", "-file", &chain]),
            "",
        )
        .await?;
        printed.saying("Issuer: CN=internal-ca")?.success()?;
        let verify = command(&python, ["-c", VERIFY, &chain, &trust]);
        run(verify, "").await?.saying("verified")?.success()?;
        let text = run(command("openssl", ["x509", "-noout", "-text", "-in", &chain]), "")
            .await?
            .success()?;
        ensure!(
            text.contains("Issuer: CN = internal-ca"),
            "{namespace}/{name} is of another issuer:\n{text}"
        );
    }

    // Mutual TLS through passthrough: the backend insists on a certificate, and sees that of order-service.
    let insisting = site.backend(backend, "-Verify").await?;
    let trust = site.exported("order", "order-client-tls", "ca.crt");
    let certificate = site.exported("order", "order-client-tls", "tls.crt");
    let key = site.exported("order", "order-client-tls", "tls.key");
    let passthrough = format!("127.0.0.1:{}", 8443 + site.offset);
    let mut client = command("openssl", ["s_client", "-connect", &passthrough, "-servername", PAYMENT]);
    client.args(["-CAfile", &trust, "-verify_return_error", "-verify_hostname", PAYMENT]);
    client.args(["-cert", &certificate, "-key", &key]);
    run(client, "GET / HTTP/1.0\r\n\r\n")
        .await?
        .saying("Verify return code: 0 (ok)")?;
    let page = site.curl(&trust, Some((&certificate, &key)), PAYMENT, 8443, "/").await?;
    ensure!(
        page.contains("DNS:order-service.order.svc.cluster.local"),
        "the backend did not see the client's certificate:\n{page}"
    );
    let refused = site.curl(&trust, None, PAYMENT, 8443, "/").await;
    ensure!(refused.is_err(), "the backend took a client without a certificate");
    drop(insisting);

    // Re-encrypt: the gateway ends TLS with the wildcard certificate, and verifies payment-service by the bundle.
    let _asking = site.backend(backend, "-verify").await?;
    let page = site.curl(&trust, None, "payment.example.com", 443, "/api/v1/payments").await;
    // `s_server -www` answers any path.
    let page = page.with_context(|| site.said())?;
    ensure!(
        page.contains("no client certificate available"),
        "another backend answered:\n{page}"
    );
    Ok(format!(
        "{} Secrets verified by OpenSSL, GnuTLS, Java and Python; payment reached with mutual TLS and re-encrypted",
        ISSUED.len()
    ))
}

/// As the article has it: the misplaced issuerRef is explained, with the way out.
pub(crate) async fn misplaced_issuer(context: &Context) -> anyhow::Result<String> {
    let site = Site::prepare(context, "article-misplaced", &[]).await?;
    let check = command(&context.binary, ["check".as_ref(), "-f".as_ref(), site.manifests.as_os_str()]);
    let said = run(check, "").await?.failure("Certificate order/order-client-cert")?;
    let told = said.lines().find(|line| line.contains("Certificate order/order-client-cert"));
    let told = told.context("the problem has a line")?;
    ensure!(told.contains("issuer-not-found"), "{told}");
    ensure!(
        said.contains("did you mean `kind: ClusterIssuer`, name internal-ca?"),
        "the hint does not name the way out:\n{said}"
    );
    Ok(told.trim().to_owned())
}

struct Site {
    directory: PathBuf,
    manifests: PathBuf,
    offset: u16,
}

impl Site {
    /// The article's manifests with `corrections`, the completion, and a CA made with openssl.
    async fn prepare(context: &Context, name: &str, corrections: &[Correction]) -> anyhow::Result<Self> {
        let directory = context.directory(name)?;
        let manifests = directory.join("manifests");
        fs::create_dir_all(&manifests)?;
        for file in fs::read_dir(context.root.join("crates/provider/testdata/article"))? {
            let file = file?;
            let file_name = file.file_name();
            let mut text = fs::read_to_string(file.path())?;
            for (in_file, wrong, right) in corrections.iter().filter(|(in_file, ..)| file_name == *in_file) {
                ensure!(text.matches(wrong).count() == 1, "{in_file}: `{wrong}` is not there once");
                text = text.replace(wrong, right);
            }
            fs::write(manifests.join(file_name), text)?;
        }
        fs::copy(
            context.root.join("xtask/testdata/article/completion.yaml"),
            manifests.join("completion.yaml"),
        )?;
        let (certificate, key) = (directory.join("ca.crt"), directory.join("ca.key"));
        let mut make = command("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "365"]);
        make.args(["-subj", "/CN=internal-ca", "-addext", "keyUsage=critical,keyCertSign,cRLSign"]);
        make.arg("-out").arg(&certificate).arg("-keyout").arg(&key);
        run(make, "").await?.success()?;
        let (certificate, key) = (fs::read_to_string(certificate)?, fs::read_to_string(key)?);
        let mut secrets = String::new();
        // The article's Issuer stands in payment, a ClusterIssuer and a Bundle look in cert-manager's namespace.
        for namespace in ["payment", "cert-manager"] {
            secrets +=
                &format!("---\napiVersion: v1\nkind: Secret\nmetadata: {{name: internal-ca-keypair, namespace: {namespace}}}\n");
            secrets += "type: kubernetes.io/tls\nstringData:\n";
            for (entry, pem) in [("tls.crt", &certificate), ("tls.key", &key)] {
                secrets += &format!("  {entry}: |\n");
                secrets.extend(pem.lines().map(|line| format!("    {line}\n")));
            }
        }
        sealway_demo::certificates::write_private(&manifests.join("secrets.yaml"), secrets.as_bytes())?;
        Ok(Self {
            directory,
            manifests,
            offset: free_offset()?,
        })
    }

    async fn serve(&self, context: &Context, endpoint: &str) -> anyhow::Result<Child> {
        let mut gateway = command(&context.binary, ["run", "--endpoint", endpoint, "--port-offset"]);
        gateway.arg(self.offset.to_string()).arg("-f").arg(&self.manifests);
        gateway.arg("--state-dir").arg(self.directory.join("state"));
        gateway.arg("--export-certs").arg(self.directory.join("exported"));
        gateway.args(["--admin", &loopback(free_port()).to_string()]);
        for unused in ["vault/vault-service:8200", "database/postgres-service:5432"] {
            gateway.args(["--endpoint", &format!("{unused}=127.0.0.1:9")]);
        }
        let process = serve(gateway, &self.log())?;
        let is_there = |(namespace, name): &(&str, &str)| Path::new(&self.exported(namespace, name, "tls.crt")).exists();
        ensure!(
            wait_until(START, || ISSUED.iter().all(is_there)).await,
            "not everything is issued:\n{}",
            self.said()
        );
        let listening = format!("127.0.0.1:{}", 443 + self.offset);
        until_said(&self.log(), |said| match said.contains(&listening) {
            true => Ok(()),
            false => bail!("nothing listens on {listening}:\n{}", excerpt(said)),
        })
        .await?;
        Ok(process)
    }

    /// `openssl s_server` with payment's certificate; `asking` is `-verify` (optional) or `-Verify` (required).
    async fn backend(&self, address: std::net::SocketAddr, asking: &str) -> anyhow::Result<Child> {
        let (secret, port) = ("payment-tls-secret", address.port().to_string());
        let mut server = command(
            "openssl",
            ["s_server", "-www", "-accept", &port, asking, "1", "-verify_return_error"],
        );
        server.args([
            "-cert",
            &self.exported("payment", secret, "tls.crt"),
            "-key",
            &self.exported("payment", secret, "tls.key"),
        ]);
        server.args(["-CAfile", &self.exported("payment", secret, "ca.crt")]);
        let log = self.directory.join(format!("backend{asking}.log"));
        let server = serve(server, &log)?;
        until_said(&log, |said| {
            if said.contains("ACCEPT") {
                Ok(())
            } else {
                bail!("s_server: {said}")
            }
        })
        .await?;
        Ok(server)
    }

    /// What a page says; an error when TLS or HTTP fails.
    async fn curl(&self, trust: &str, client: Option<(&str, &str)>, host: &str, port: u16, path: &str) -> anyhow::Result<String> {
        let port = port + self.offset;
        let (resolve, url) = (format!("{host}:{port}:127.0.0.1"), format!("https://{host}:{port}{path}"));
        let mut curl = command("curl", ["-sS", "--fail", "--cacert", trust, "--resolve", &resolve, &url]);
        if let Some((certificate, key)) = client {
            curl.args(["--cert", certificate, "--key", key]);
        }
        run(curl, "").await?.success()
    }

    fn exported(&self, namespace: &str, name: &str, file: &str) -> String {
        let path = self.directory.join("exported").join(namespace).join(name).join(file);
        path.display().to_string()
    }

    fn log(&self) -> PathBuf {
        self.directory.join("log")
    }

    fn said(&self) -> String {
        excerpt(&fs::read_to_string(self.log()).unwrap_or_default())
    }
}

/// An offset that brings all ports of the article to free ones.
fn free_offset() -> anyhow::Result<u16> {
    let free = |port: u16| TcpListener::bind(loopback(port)).is_ok();
    (2_000..20_000)
        .step_by(41)
        .find(|offset| [443, 8443].iter().all(|port| free(port + offset)))
        .context("no free offset")
}

/// File, what is wrong there, what is right.
type Correction = (&'static str, &'static str, &'static str);

const CORRECTIONS: [Correction; 2] = [
    (
        "client-certificates.yaml",
        "    name: internal-ca\n",
        "    name: internal-ca\n    kind: ClusterIssuer\n",
    ),
    (
        "re-encrypt.yaml",
        "    - name: tls-gateway\n",
        "    - name: tls-gateway\n      namespace: gateway-system\n",
    ),
];
const ISSUED: [(&str, &str); 3] = [
    ("payment", "payment-tls-secret"),
    ("order", "order-client-tls"),
    ("gateway-system", "wildcard-cert"),
];
/// Python's word on a certificate and its CA.
const VERIFY: &str = "import sys
from cryptography import x509
leaf, ca = (x509.load_pem_x509_certificate(open(path, 'rb').read()) for path in sys.argv[1:])
leaf.verify_directly_issued_by(ca)
print('verified')";
const PAYMENT: &str = "payment.internal.example.com";
