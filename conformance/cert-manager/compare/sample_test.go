package compare

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	cmapi "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/pavlo-v-chernykh/keystore-go/v4"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"software.sslmate.com/src/go-pkcs12"
)

// sample is one leaf below one root, with keystores, as an issuer would dump it. Its fields are what tests alter.
type sample struct {
	template   *x509.Certificate
	rootID     []byte // the root's key identifier, unless computed
	marshalKey func(*ecdsa.PrivateKey) *pem.Block
	alias      string
	profile    *pkcs12.Encoder
	password   string
	chain      func(leaf, root []byte) []byte
	secret     func(*corev1.Secret)
	status     func(*cmapi.CertificateStatus)
}

func newSample() *sample {
	now := time.Now().UTC().Truncate(time.Second)
	return &sample{
		template: &x509.Certificate{
			Subject:   pkix.Name{CommonName: "leaf.example.com"},
			NotBefore: now, NotAfter: now.Add(90 * 24 * time.Hour),
			KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true, DNSNames: []string{"leaf.example.com"},
		},
		marshalKey: func(key *ecdsa.PrivateKey) *pem.Block {
			der, _ := x509.MarshalECPrivateKey(key)
			return &pem.Block{Type: "EC PRIVATE KEY", Bytes: der}
		},
		alias: "certificate", profile: pkcs12.Modern2023, password: password,
		chain:  func(leaf, _ []byte) []byte { return leaf },
		secret: func(*corev1.Secret) {}, status: func(*cmapi.CertificateStatus) {},
	}
}

const password = "changeit"

// facts writes the sample as a dump, with keys and numbers of its own, and states its facts.
func (s *sample) facts(t *testing.T) map[string]string {
	t.Helper()
	directory := t.TempDir()
	now := s.template.NotBefore
	rootTemplate := &x509.Certificate{
		Subject: pkix.Name{CommonName: "root"}, NotBefore: now, NotAfter: now.Add(time.Hour * 24 * 3650),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, SubjectKeyId: s.rootID,
	}
	rootKey, rootDER := sign(t, rootTemplate, nil, nil)
	root, err := x509.ParseCertificate(rootDER)
	must(t, err)
	key, der := sign(t, s.template, root, rootKey)
	rootPEM, leafPEM := certificatePEM(rootDER), certificatePEM(der)

	s.write(t, directory, "secrets/shop/root", secretOf("root", map[string][]byte{
		"tls.crt": rootPEM, "ca.crt": rootPEM, "tls.key": pem.EncodeToMemory(newSample().marshalKey(rootKey)),
	}))
	leaf, err := x509.ParseCertificate(der)
	must(t, err)
	keyPEM := pem.EncodeToMemory(s.marshalKey(key))
	store, err := s.profile.Encode(key, leaf, []*x509.Certificate{root}, s.password)
	must(t, err)
	trust, err := s.profile.EncodeTrustStore([]*x509.Certificate{root}, s.password)
	must(t, err)
	chain := s.chain(leafPEM, rootPEM)
	secret := secretOf("leaf", map[string][]byte{
		"tls.crt": chain, "ca.crt": rootPEM, "tls.key": keyPEM,
		"tls-combined.pem": bytes.Join([][]byte{keyPEM, chain}, []byte("\n")), "key.der": s.marshalKey(key).Bytes,
		"keystore.p12": store, "truststore.p12": trust, "keystore.jks": s.jks(t, key, der),
	})
	s.secret(secret)
	s.write(t, directory, "secrets/shop/leaf", secret)
	status := statusOf(now, s.template.NotAfter)
	s.status(status)
	s.write(t, directory, "status/certificates/shop/leaf", status)
	s.write(t, directory, "reference/certificates/shop/leaf", &cmapi.Certificate{Spec: cmapi.CertificateSpec{
		SecretName: "leaf",
		Keystores: &cmapi.CertificateKeystores{
			JKS:    &cmapi.JKSKeystore{Create: true, Password: new(password)},
			PKCS12: &cmapi.PKCS12Keystore{Create: true, Password: new(password)},
		},
	}})
	must(t, os.WriteFile(filepath.Join(directory, "none.yaml"), nil, 0o600))
	stated, err := Facts(directory, directory, directory)
	must(t, err)
	return stated
}

func (s *sample) jks(t *testing.T, key *ecdsa.PrivateKey, der []byte) []byte {
	t.Helper()
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	store := keystore.New(keystore.WithCaseExactAliases())
	must(t, store.SetPrivateKeyEntry(s.alias, keystore.PrivateKeyEntry{
		CreationTime: time.Now(), PrivateKey: pkcs8, CertificateChain: []keystore.Certificate{{Type: "X509", Content: der}},
	}, []byte(s.password)))
	var buffer bytes.Buffer
	must(t, store.Store(&buffer, []byte(s.password)))
	return buffer.Bytes()
}

func (s *sample) write(t *testing.T, directory, name string, value any) {
	t.Helper()
	path := filepath.Join(directory, name+".json")
	must(t, os.MkdirAll(filepath.Dir(path), 0o700))
	text, err := json.Marshal(value)
	must(t, err)
	must(t, os.WriteFile(path, text, 0o600))
}

// sign draws key and serial number. Without a parent the certificate signs itself.
func sign(t *testing.T, template, parent *x509.Certificate, by crypto.Signer) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	if template.SerialNumber == nil {
		// 159 bits, the first of them set: always 20 bytes.
		number, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 158))
		must(t, err)
		template.SerialNumber = number.SetBit(number, 158, 1)
	}
	if parent == nil {
		parent, by = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	must(t, err)
	return key, der
}

func certificatePEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func secretOf(name string, data map[string][]byte) *corev1.Secret {
	return &corev1.Secret{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: "shop", Labels: map[string]string{"controller.cert-manager.io/fao": "true"},
			Annotations: map[string]string{cmapi.CertificateNameKey: name},
		},
		Type: corev1.SecretTypeTLS, Data: data,
	}
}

func statusOf(notBefore, notAfter time.Time) *cmapi.CertificateStatus {
	at := func(at time.Time) *metav1.Time { return &metav1.Time{Time: at} }
	return &cmapi.CertificateStatus{
		NotBefore: at(notBefore), NotAfter: at(notAfter), RenewalTime: at(notBefore.Add(60 * 24 * time.Hour)), Revision: new(1),
		Conditions: []cmapi.CertificateCondition{{
			Type: "Ready", Status: "True", Reason: "Ready", Message: "valid until " + notAfter.String(),
			ObservedGeneration: 1, LastTransitionTime: at(notBefore),
		}},
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
