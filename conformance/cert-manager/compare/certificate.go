package compare

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"time"
)

// certificate is the outer shape of RFC 5280 (4.1), of which crypto/x509 keeps some parts to itself.
type certificate struct {
	TBS struct {
		Version      int `asn1:"optional,explicit,default:0,tag:0"`
		Serial       asn1.RawValue
		Algorithm    asn1.RawValue
		Issuer       asn1.RawValue
		Validity     struct{ NotBefore, NotAfter asn1.RawValue }
		Subject      asn1.RawValue
		PublicKey    struct{ Algorithm, Key asn1.RawValue }
		IssuerUnique asn1.BitString   `asn1:"optional,tag:1"`
		OwnUnique    asn1.BitString   `asn1:"optional,tag:2"`
		Extensions   []pkix.Extension `asn1:"omitempty,optional,explicit,tag:3"`
	}
	Algorithm asn1.RawValue
	Signature asn1.BitString
}

// certificateFacts states every field.
func (d *dump) certificateFacts(say facts, parsed *x509.Certificate) {
	var raw certificate
	if _, err := asn1.Unmarshal(parsed.Raw, &raw); err != nil {
		say.say("is no certificate", err)
		return
	}
	tbs := raw.TBS
	say.say("version", tbs.Version+1)
	say.say("serial", serial(tbs.Serial.Bytes))
	say.say("signature algorithm", hex.EncodeToString(raw.Algorithm.FullBytes))
	say.say("signature algorithm inside", hex.EncodeToString(tbs.Algorithm.FullBytes))
	say.say("subject", parsed.Subject.String()+" "+hex.EncodeToString(parsed.RawSubject))
	say.say("issuer", parsed.Issuer.String()+" "+hex.EncodeToString(parsed.RawIssuer))
	say.say("signed by", d.known.signer(parsed))
	say.say("public key", algorithm(parsed.PublicKey)+" "+hex.EncodeToString(tbs.PublicKey.Algorithm.FullBytes))
	say.say("lifetime", parsed.NotAfter.Sub(parsed.NotBefore))
	say.say("times are written with tags", fmt.Sprint(tbs.Validity.NotBefore.Tag, " ", tbs.Validity.NotAfter.Tag))
	say.say("unique identifiers", len(tbs.IssuerUnique.Bytes)+len(tbs.OwnUnique.Bytes))
	for i, extension := range tbs.Extensions {
		// The place is part of the fact: order counts.
		say.say(fmt.Sprintf("extension %d", i), d.extension(extension, parsed))
	}
}

func (d *dump) extension(extension pkix.Extension, of *x509.Certificate) string {
	value := hex.EncodeToString(extension.Value)
	switch {
	case extension.Id.Equal(subjectKeyID):
		var identifier []byte
		if rest, err := asn1.Unmarshal(extension.Value, &identifier); err == nil && len(rest) == 0 {
			value = d.known.keyIdentifier(identifier, of)
		}
	case extension.Id.Equal(authorityKeyID):
		var identifier struct {
			Key asn1.RawValue `asn1:"optional,tag:0"`
		}
		if rest, err := asn1.Unmarshal(extension.Value, &identifier); err == nil && len(rest) == 0 {
			value = d.known.keyIdentifier(identifier.Key.Bytes, of)
		}
	}
	criticality := "not critical"
	if extension.Critical {
		criticality = "critical"
	}
	return fmt.Sprintf("%s, %s: %s", extension.Id, criticality, value)
}

// serial: 160 random bits, of which the first is 0. One of 65536 is shorter than 18 bytes.
func serial(bytes []byte) string {
	if len(bytes) >= 18 && len(bytes) <= 20 && bytes[0] < 0x80 {
		return "positive, 18 to 20 bytes"
	}
	return fmt.Sprintf("%d bytes, the first is %#x", len(bytes), bytes[0])
}

// near: a busy machine may take its time between issuing and storing.
func near(a, b time.Time) bool {
	return a.Sub(b).Abs() < 2*time.Minute
}

var (
	subjectKeyID   = asn1.ObjectIdentifier{2, 5, 29, 14}
	authorityKeyID = asn1.ObjectIdentifier{2, 5, 29, 35}
)
