package compare

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
)

// privateKey is a key in the ways that it is compared.
type privateKey struct {
	public     crypto.PublicKey
	der, pkcs8 []byte
}

// keyFacts states algorithm, size and encoding.
func (d *dump) keyFacts(say facts, text []byte) (*privateKey, error) {
	blocks, clean := pemBlocks(text)
	say.say("is PEM without anything else", clean)
	say.say("blocks", len(blocks))
	if len(blocks) == 0 {
		return nil, errors.New("tls.key holds no PEM")
	}
	block := blocks[0]
	key, encoding, err := parseKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	say.say("encoding", fmt.Sprintf("%s in %q", encoding, block.Type))
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%T does not sign", key)
	}
	say.say("algorithm", algorithm(signer.Public()))
	if encoding == "PKCS#8" {
		// Whether the inner encoding repeats the curve, holds the public key, and the like.
		say.say("structure", skeleton(block.Bytes, nil))
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return &privateKey{signer.Public(), block.Bytes, pkcs8}, nil
}

func parseKey(der []byte) (key any, encoding string, err error) {
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, "PKCS#1", nil
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key, "SEC 1", nil
	}
	key, err = x509.ParsePKCS8PrivateKey(der)
	return key, "PKCS#8", err
}

func algorithm(public crypto.PublicKey) string {
	switch public := public.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d, exponent %d", public.N.BitLen(), public.E)
	case *ecdsa.PublicKey:
		return "ECDSA " + public.Curve.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	default:
		return fmt.Sprintf("%T", public)
	}
}

func equalKeys(a, b crypto.PublicKey) bool {
	comparable, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && comparable.Equal(b)
}
