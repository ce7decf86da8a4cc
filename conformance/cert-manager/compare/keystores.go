package compare

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"strings"

	cmapi "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	"github.com/pavlo-v-chernykh/keystore-go/v4"
	corev1 "k8s.io/api/core/v1"
	"software.sslmate.com/src/go-pkcs12"
)

// keyAndChain is what the keystores of a Secret are made of.
type keyAndChain struct {
	pkcs8       []byte
	leaf        *x509.Certificate
	chain       []*x509.Certificate
	authorities []*x509.Certificate
}

// keystoreFacts opens the keystores with the passwords that the Certificate names.
func (d *dump) keystoreFacts(say facts, secret *corev1.Secret, from keyAndChain) error {
	certificate := d.certificates[secret.Namespace+"/"+secret.Annotations[cmapi.CertificateNameKey]]
	if certificate == nil || certificate.Spec.Keystores == nil {
		return nil
	}
	keystores := certificate.Spec.Keystores
	if jks := keystores.JKS; jks != nil {
		password := d.password(secret.Namespace, jks.Password, jks.PasswordSecretRef)
		d.jksFacts(say.below("keystore.jks"), secret.Data["keystore.jks"], password, from)
		d.jksFacts(say.below("truststore.jks"), secret.Data["truststore.jks"], password, from)
	}
	if pfx := keystores.PKCS12; pfx != nil {
		password := d.password(secret.Namespace, pfx.Password, pfx.PasswordSecretRef)
		if store, found := secret.Data["keystore.p12"]; found {
			d.pkcs12Facts(say.below("keystore.p12"), store, password, from)
			d.keyBagFacts(say.below("keystore.p12"), store, password, from)
		}
		if store, found := secret.Data["truststore.p12"]; found {
			d.pkcs12Facts(say.below("truststore.p12"), store, password, from)
			authorities, err := pkcs12.DecodeTrustStore(store, password)
			say.say("truststore.p12 trusts", d.names(authorities, err))
		}
	}
	return nil
}

func (d *dump) password(namespace string, inline *string, reference cmmeta.SecretKeySelector) string {
	if inline != nil {
		return *inline
	}
	return string(d.passwords[namespace+"/"+reference.Name][reference.Key])
}

// jksFacts: entries by alias, since the format's writer does not order them.
func (d *dump) jksFacts(say facts, store []byte, password string, from keyAndChain) {
	if store == nil {
		return
	}
	say.say("magic and version", fmt.Sprintf("%x", store[:min(8, len(store))]))
	opened := keystore.New(keystore.WithCaseExactAliases())
	if err := opened.Load(bytes.NewReader(store), []byte(password)); err != nil {
		say.say("opens", err)
		return
	}
	for _, alias := range opened.Aliases() {
		entry := say.below("entry " + alias)
		if trusted, err := opened.GetTrustedCertificateEntry(alias); err == nil {
			entry.say("trusts", trusted.Certificate.Type+" "+d.known.certificate(trusted.Certificate.Content))
			entry.say("is new", near(trusted.CreationTime, from.leaf.NotBefore))
			continue
		}
		key, err := opened.GetPrivateKeyEntry(alias, []byte(password))
		if err != nil {
			entry.say("opens", err)
			continue
		}
		entry.say("is the key in PKCS#8", bytes.Equal(key.PrivateKey, from.pkcs8))
		entry.say("is new", near(key.CreationTime, from.leaf.NotBefore))
		var names []string
		for _, certificate := range key.CertificateChain {
			names = append(names, certificate.Type+" "+d.known.certificate(certificate.Content))
		}
		entry.list("chain", names)
	}
}

// pkcs12Facts states the structure: algorithms, iterations, lengths of salts, and of what PBES2 encrypts, the contents too.
func (d *dump) pkcs12Facts(say facts, store []byte, password string, from keyAndChain) {
	special := func(octets []byte) string {
		for _, certificate := range append(slices.Clone(from.chain), from.authorities...) {
			if bytes.Equal(octets, certificate.Raw) {
				return d.known.certificate(octets)
			}
		}
		return ""
	}
	say.say("structure", skeleton(store, special))
	for i, contents := range decryptPBES2(store, password) {
		say.say(fmt.Sprintf("encrypted contents %d", i), skeleton(contents, special))
	}
}

// keyBagFacts states what a reader of the keystore gets.
func (d *dump) keyBagFacts(say facts, store []byte, password string, from keyAndChain) {
	key, leaf, others, err := pkcs12.DecodeChain(store, password)
	if err != nil {
		say.say("opens", err)
		return
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	say.say("is the key", err == nil && bytes.Equal(pkcs8, from.pkcs8))
	say.say("leaf", d.names([]*x509.Certificate{leaf}, nil))
	say.say("others", d.names(others, nil))
	bags, err := pkcs12.ToPEM(store, password)
	if err != nil {
		// It reads neither Ed25519 nor trusted certificates.
		return
	}
	for i, bag := range bags {
		var attributes []string
		for _, name := range slices.Sorted(maps.Keys(bag.Headers)) {
			value := bag.Headers[name]
			if name == "localKeyId" {
				value = d.known.hash(value, leaf)
			}
			attributes = append(attributes, name+"="+value)
		}
		say.say(fmt.Sprintf("bag %d", i), bag.Type+" "+strings.Join(attributes, ", "))
	}
}

func (d *dump) names(certificates []*x509.Certificate, err error) string {
	if err != nil {
		return err.Error()
	}
	var names []string
	for _, certificate := range certificates {
		names = append(names, d.known.certificate(certificate.Raw))
	}
	return strings.Join(names, ", ")
}
