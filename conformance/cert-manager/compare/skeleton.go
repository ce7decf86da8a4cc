package compare

import (
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"strings"
)

// skeleton writes DER as text without what is random: object identifiers, integers and strings as they are, of octets only how
// many there are. Octets that are DER themselves are written as such. special may name octets first.
func skeleton(der []byte, special func([]byte) string) string {
	text, ok := elements(der, special)
	if !ok {
		return "not DER"
	}
	return text
}

func elements(der []byte, special func([]byte) string) (string, bool) {
	var parts []string
	for len(der) > 0 {
		var element asn1.RawValue
		rest, err := asn1.Unmarshal(der, &element)
		if err != nil {
			return "", false
		}
		part, ok := one(element, special)
		if !ok {
			return "", false
		}
		parts = append(parts, part)
		der = rest
	}
	return strings.Join(parts, " "), true
}

func one(element asn1.RawValue, special func([]byte) string) (string, bool) {
	if element.Class != asn1.ClassUniversal {
		return tagged(element, special)
	}
	switch element.Tag {
	case asn1.TagSequence, asn1.TagSet:
		inner, ok := elements(element.Bytes, special)
		return fmt.Sprintf("%d{%s}", element.Tag, inner), ok
	case asn1.TagOID:
		var identifier asn1.ObjectIdentifier
		_, err := asn1.Unmarshal(element.FullBytes, &identifier)
		return identifier.String(), err == nil
	case asn1.TagOctetString:
		return octets(element.Bytes, special), true
	case asn1.TagInteger:
		if len(element.Bytes) > 8 {
			// Of a key: as long as chance will have it.
			return "a long integer", true
		}
		return "0x" + hex.EncodeToString(element.Bytes), true
	case asn1.TagBitString:
		return fmt.Sprintf("bits of %d bytes", len(element.Bytes)), true
	default:
		return fmt.Sprintf("%d:%s", element.Tag, hex.EncodeToString(element.Bytes)), true
	}
}

func tagged(element asn1.RawValue, special func([]byte) string) (string, bool) {
	if !element.IsCompound {
		return fmt.Sprintf("[%d] %s", element.Tag, octets(element.Bytes, special)), true
	}
	inner, ok := elements(element.Bytes, special)
	return fmt.Sprintf("[%d]{%s}", element.Tag, inner), ok
}

func octets(content []byte, special func([]byte) string) string {
	if special != nil {
		if name := special(content); name != "" {
			return name
		}
	}
	if len(content) > 2 && content[0] == 0x30 {
		if inner, ok := elements(content, special); ok {
			return "octets{" + inner + "}"
		}
	}
	if len(content) > 64 {
		// What is encrypted varies in length with the serial numbers and signatures in it.
		return "octets"
	}
	return fmt.Sprintf("octets of %d", len(content))
}
