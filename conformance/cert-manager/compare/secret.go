package compare

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// secretFacts states kind, metadata and contents of a Secret.
func (d *dump) secretFacts(say facts, secret *corev1.Secret) error {
	say.say("apiVersion and kind", secret.APIVersion+" "+secret.Kind)
	say.say("name", secret.Namespace+"/"+secret.Name)
	say.say("type", secret.Type)
	for label, value := range secret.Labels {
		say.say("label "+label, fmt.Sprintf("%q", value))
	}
	for annotation, value := range secret.Annotations {
		say.say("annotation "+annotation, fmt.Sprintf("%q", value))
	}
	say.list("keys", slices.Sorted(maps.Keys(secret.Data)))

	key, err := d.keyFacts(say.below("tls.key"), secret.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return err
	}
	chain := d.chainFacts(say.below("tls.crt"), secret.Data[corev1.TLSCertKey])
	authorities := d.chainFacts(say.below("ca.crt"), secret.Data["ca.crt"])
	if len(chain) == 0 {
		return nil
	}
	leaf := chain[0]
	say.say("tls.key is the leaf's", equalKeys(leaf.PublicKey, key.public))
	d.certificateFacts(say.below("leaf"), leaf)

	if combined, found := secret.Data["tls-combined.pem"]; found {
		whole := bytes.Join([][]byte{secret.Data[corev1.TLSPrivateKeyKey], secret.Data[corev1.TLSCertKey]}, []byte("\n"))
		say.say("tls-combined.pem is tls.key, line feed, tls.crt", bytes.Equal(combined, whole))
	}
	if der, found := secret.Data["key.der"]; found {
		say.say("key.der is what tls.key wraps", bytes.Equal(der, key.der))
	}
	return d.keystoreFacts(say, secret, keyAndChain{key.pkcs8, leaf, chain, authorities})
}

// chainFacts states how certificates are written and whose they are, and gives them.
func (d *dump) chainFacts(say facts, text []byte) []*x509.Certificate {
	if text == nil {
		return nil
	}
	blocks, clean := pemBlocks(text)
	say.say("is PEM without anything else", clean)
	var certificates []*x509.Certificate
	var names []string
	for _, block := range blocks {
		certificate, err := x509.ParseCertificate(block.Bytes)
		if block.Type != "CERTIFICATE" || err != nil {
			names = append(names, fmt.Sprintf("a block %q, %v", block.Type, err))
			continue
		}
		names = append(names, d.known.certificate(certificate.Raw))
		certificates = append(certificates, certificate)
	}
	say.list("holds", names)
	return certificates
}

// pemBlocks: clean means that encoding the blocks again gives the same bytes.
func pemBlocks(text []byte) (blocks []*pem.Block, clean bool) {
	var again bytes.Buffer
	rest := text
	for {
		block, after := pem.Decode(rest)
		if block == nil {
			return blocks, bytes.Equal(again.Bytes(), text)
		}
		blocks = append(blocks, block)
		if err := pem.Encode(&again, block); err != nil {
			return blocks, false
		}
		rest = after
	}
}
