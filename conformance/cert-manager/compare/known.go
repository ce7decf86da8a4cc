package compare

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// known gives certificates and keys of one dump names that hold in every dump: those of the Secrets that they belong to.
type known struct {
	names  []string
	leaves map[string]*x509.Certificate
}

func newKnown(secrets map[string]*corev1.Secret) *known {
	found := &known{leaves: map[string]*x509.Certificate{}}
	for _, path := range slices.Sorted(maps.Keys(secrets)) {
		blocks, _ := pemBlocks(secrets[path].Data[corev1.TLSCertKey])
		if len(blocks) == 0 {
			continue
		}
		if leaf, err := x509.ParseCertificate(blocks[0].Bytes); err == nil {
			found.names = append(found.names, path)
			found.leaves[path] = leaf
		}
	}
	return found
}

// certificate names the Secret whose leaf this is.
func (k *known) certificate(der []byte) string {
	for _, name := range k.names {
		if bytes.Equal(k.leaves[name].Raw, der) {
			return "the certificate of " + name
		}
	}
	return "a certificate of no Secret"
}

// signer names the Secret whose key signed the certificate.
func (k *known) signer(certificate *x509.Certificate) string {
	if certificate.CheckSignature(certificate.SignatureAlgorithm, certificate.RawTBSCertificate, certificate.Signature) == nil {
		return "itself"
	}
	for _, name := range k.names {
		if k.leaves[name].CheckSignature(certificate.SignatureAlgorithm, certificate.RawTBSCertificate, certificate.Signature) == nil {
			return name
		}
	}
	return "nobody known"
}

// keyIdentifier says which function of whose public key the identifier is.
func (k *known) keyIdentifier(identifier []byte, own *x509.Certificate) string {
	if function := functionOfKey(identifier, own); function != "" {
		return function + " of its own key"
	}
	for _, name := range k.names {
		if function := functionOfKey(identifier, k.leaves[name]); function != "" {
			return function + " of the key of " + name
		}
	}
	return "nothing known: " + hex.EncodeToString(identifier)
}

// functionOfKey knows the first methods of RFC 5280 (4.2.1.2) and of RFC 7093 (2).
func functionOfKey(identifier []byte, of *x509.Certificate) string {
	var info struct {
		Algorithm asn1.RawValue
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(of.RawSubjectPublicKeyInfo, &info); err != nil {
		return ""
	}
	bits := info.Key.Bytes
	short, long, whole := sha1.Sum(bits), sha256.Sum256(bits), sha1.Sum(of.RawSubjectPublicKeyInfo)
	switch {
	case bytes.Equal(identifier, short[:]):
		return "SHA-1"
	case bytes.Equal(identifier, long[:20]):
		return "SHA-256 cut to 160 bits"
	case bytes.Equal(identifier, whole[:]):
		return "SHA-1 with the algorithm"
	default:
		return ""
	}
}

// hash names what a local key identifier of a keystore, in hexadecimal, is.
func (k *known) hash(identifier string, leaf *x509.Certificate) string {
	if sum := sha1.Sum(leaf.Raw); identifier == hex.EncodeToString(sum[:]) {
		return "SHA-1 of the leaf"
	}
	return fmt.Sprintf("%d hexadecimal digits", len(identifier))
}
