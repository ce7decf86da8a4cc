package compare

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cmapi "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	"software.sslmate.com/src/go-pkcs12"
)

// Two issuances of the same differ in keys, numbers and times, and in no fact.
func TestTheSameIssuedTwiceDoesNotDiffer(t *testing.T) {
	if differences := Differences(newSample().facts(t), newSample().facts(t)); len(differences) > 0 {
		t.Errorf("%v", differences)
	}
}

// Every alteration is found, at the fact that it is about.
func TestEveryAlterationIsFound(t *testing.T) {
	secret := func(alter func(*corev1.Secret)) func(*sample) {
		return func(s *sample) { s.secret = alter }
	}
	status := func(alter func(*cmapi.CertificateStatus)) func(*sample) {
		return func(s *sample) { s.status = alter }
	}
	template := func(alter func(*x509.Certificate)) func(*sample) {
		return func(s *sample) { alter(s.template) }
	}
	const leaf, ready = "secrets/shop/leaf ", "status/certificates/shop/leaf "
	for fact, alter := range map[string]func(*sample){
		leaf + "type":                                 secret(func(s *corev1.Secret) { s.Type = corev1.SecretTypeOpaque }),
		leaf + "annotation extra":                     secret(func(s *corev1.Secret) { s.Annotations["extra"] = "" }),
		leaf + "label controller.cert-manager.io/fao": secret(func(s *corev1.Secret) { s.Labels = nil }),
		leaf + "keys":                                 secret(func(s *corev1.Secret) { s.Data["more"] = nil }),
		leaf + "ca.crt holds":                         secret(func(s *corev1.Secret) { s.Data["ca.crt"] = s.Data["tls.crt"] }),
		leaf + "tls-combined.pem is tls.key, line feed, tls.crt": secret(func(s *corev1.Secret) {
			s.Data["tls-combined.pem"] = bytes.Join([][]byte{s.Data["tls.key"], s.Data["tls.crt"]}, nil)
		}),
		leaf + "key.der is what tls.key wraps": secret(func(s *corev1.Secret) { s.Data["key.der"] = s.Data["tls.key"] }),
		leaf + "tls.key is PEM without anything else": secret(func(s *corev1.Secret) {
			s.Data["tls.key"] = append(s.Data["tls.key"], '\n')
		}),
		leaf + "tls.key encoding": func(s *sample) {
			s.marshalKey = func(key *ecdsa.PrivateKey) *pem.Block {
				der, _ := x509.MarshalPKCS8PrivateKey(key)
				return &pem.Block{Type: "PRIVATE KEY", Bytes: der}
			}
		},
		leaf + "tls.key is the leaf's": func(s *sample) {
			other, _ := sign(t, newSample().template, nil, nil)
			marshal := s.marshalKey
			s.marshalKey = func(*ecdsa.PrivateKey) *pem.Block { return marshal(other) }
		},
		leaf + "tls.crt holds": func(s *sample) { s.chain = func(leaf, root []byte) []byte { return append(leaf, root...) } },

		leaf + "leaf lifetime":    template(func(c *x509.Certificate) { c.NotAfter = c.NotAfter.Add(time.Second) }),
		leaf + "leaf serial":      template(func(c *x509.Certificate) { c.SerialNumber = big.NewInt(7) }),
		leaf + "leaf subject":     template(func(c *x509.Certificate) { c.Subject.Organization = []string{"Shop"} }),
		leaf + "leaf extension 0": template(func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageKeyEncipherment }),
		leaf + "leaf extension 3": template(func(c *x509.Certificate) { c.DNSNames = append(c.DNSNames, "more.example.com") }),
		leaf + "leaf extension 2": func(s *sample) { s.rootID = []byte{1, 2, 3} },
		// The same extensions in another order.
		leaf + "leaf extension 1": template(func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{
				{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 0}},
			}
			c.BasicConstraintsValid = false
		}),
		leaf + "leaf extension 4": template(func(c *x509.Certificate) { c.CRLDistributionPoints = []string{"http://example.com"} }),

		leaf + "keystore.jks entry certificate is the key in PKCS#8": func(s *sample) { s.alias = "Certificate" },
		leaf + "keystore.jks opens":                                  func(s *sample) { s.password = "another" },
		leaf + "keystore.p12 structure":                              func(s *sample) { s.profile = pkcs12.LegacyDES },
		leaf + "truststore.p12 trusts": secret(func(s *corev1.Secret) {
			s.Data["truststore.p12"] = s.Data["keystore.p12"]
		}),

		ready + "revision": status(func(s *cmapi.CertificateStatus) { s.Revision = new(2) }),
		ready + "fields":   status(func(s *cmapi.CertificateStatus) { s.NextPrivateKeySecretName = new("leaf-abcde") }),
		ready + "renewalTime is what cert-manager computes for these times": status(func(s *cmapi.CertificateStatus) {
			s.RenewalTime.Time = s.RenewalTime.Add(time.Second)
		}),
		ready + "notBefore and notAfter are the leaf's": status(func(s *cmapi.CertificateStatus) {
			s.NotAfter.Time = s.NotAfter.Add(time.Second)
		}),
		ready + "notBefore is when it was issued": status(func(s *cmapi.CertificateStatus) {
			s.Conditions[0].LastTransitionTime.Time = s.NotBefore.Add(5 * time.Minute)
		}),
		ready + "condition Ready message":            status(func(s *cmapi.CertificateStatus) { s.Conditions[0].Message += "." }),
		ready + "condition Ready reason":             status(func(s *cmapi.CertificateStatus) { s.Conditions[0].Reason = "Issued" }),
		ready + "condition Ready observedGeneration": status(func(s *cmapi.CertificateStatus) { s.Conditions[0].ObservedGeneration = 2 }),
	} {
		t.Run(fact, func(t *testing.T) {
			altered := newSample()
			alter(altered)
			differences := Differences(newSample().facts(t), altered.facts(t))
			for _, difference := range differences {
				if difference.Fact == fact {
					return
				}
			}
			t.Errorf("not among %v", differences)
		})
	}
}

// A dump that lacks an object is not taken for the same, and neither is one that has more.
func TestWhatIsMissingIsFound(t *testing.T) {
	stated := newSample().facts(t)
	for _, differences := range [][]Difference{Differences(stated, nil), Differences(nil, stated)} {
		var found []string
		for _, difference := range differences {
			found = append(found, difference.Fact)
		}
		want := "secrets/shop/leaf is there, secrets/shop/root is there, status/certificates/shop/leaf is there"
		if got := strings.Join(found, ", "); got != want {
			t.Errorf("got %s", got)
		}
	}
}

func TestExcusesAreUsedOrRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "excused.txt")
	must(t, os.WriteFile(file, []byte("# why\nsecrets/*/leaf type | of course\nsecrets/shop/root type | once\n"), 0o600))
	read, err := readExcuses(file)
	must(t, err)
	left := read.judge([]Difference{{"secrets/shop/leaf type", "a", "b"}, {"secrets/shop/leaf keys", "a", "b"}})
	if len(left.unexcused) != 1 || left.unexcused[0].Fact != "secrets/shop/leaf keys" {
		t.Errorf("unexcused: %v", left.unexcused)
	}
	if strings.Join(left.needless, "") != "secrets/shop/root type" {
		t.Errorf("needless: %v", left.needless)
	}
	must(t, os.WriteFile(file, []byte("secrets/*\n"), 0o600))
	if _, err := readExcuses(file); err == nil {
		t.Error("an excuse without reason was taken")
	}
}
