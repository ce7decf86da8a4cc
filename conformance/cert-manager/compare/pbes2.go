package compare

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/x509/pkix"
	"encoding/asn1"
)

// Of a PKCS#12 file (RFC 7292) what is encrypted as the Modern profiles do: PBES2 with PBKDF2, HMAC-SHA-256 and AES-256-CBC.
type (
	pfx struct {
		Version  int
		AuthSafe contentInfo
		Mac      asn1.RawValue `asn1:"optional"`
	}
	contentInfo struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue `asn1:"tag:0,explicit,optional"`
	}
	encryptedData struct {
		Version   int
		Encrypted struct {
			Type      asn1.ObjectIdentifier
			Algorithm pkix.AlgorithmIdentifier
			Content   []byte `asn1:"tag:0,optional"`
		}
	}
	pbes2Parameters struct {
		Derivation pkix.AlgorithmIdentifier
		Encryption pkix.AlgorithmIdentifier
	}
	pbkdf2Parameters struct {
		Salt       []byte
		Iterations int
		KeyLength  int                      `asn1:"optional"`
		Function   pkix.AlgorithmIdentifier `asn1:"optional"`
	}
)

// decryptPBES2 gives the contents that it can decrypt. Whatever does not fit is left out, as is every other way of encrypting:
// the structure says what stands there.
func decryptPBES2(store []byte, password string) [][]byte {
	var outer pfx
	if _, err := asn1.Unmarshal(store, &outer); err != nil {
		return nil
	}
	var safe []byte
	if _, err := asn1.Unmarshal(outer.AuthSafe.Content.Bytes, &safe); err != nil {
		return nil
	}
	var infos []contentInfo
	if _, err := asn1.Unmarshal(safe, &infos); err != nil {
		return nil
	}
	var decrypted [][]byte
	for _, info := range infos {
		var data encryptedData
		if !info.Type.Equal(encryptedDataType) {
			continue
		}
		if _, err := asn1.Unmarshal(info.Content.Bytes, &data); err != nil {
			continue
		}
		if contents := data.decrypt(password); contents != nil {
			decrypted = append(decrypted, contents)
		}
	}
	return decrypted
}

func (d *encryptedData) decrypt(password string) []byte {
	var scheme pbes2Parameters
	if _, err := asn1.Unmarshal(d.Encrypted.Algorithm.Parameters.FullBytes, &scheme); err != nil {
		return nil
	}
	var derivation pbkdf2Parameters
	if _, err := asn1.Unmarshal(scheme.Derivation.Parameters.FullBytes, &derivation); err != nil {
		return nil
	}
	var vector []byte
	if _, err := asn1.Unmarshal(scheme.Encryption.Parameters.FullBytes, &vector); err != nil || len(vector) != aes.BlockSize {
		return nil
	}
	key, err := pbkdf2.Key(sha256.New, password, derivation.Salt, derivation.Iterations, 32)
	if err != nil {
		return nil
	}
	block, err := aes.NewCipher(key)
	contents := d.Encrypted.Content
	if err != nil || len(contents) == 0 || len(contents)%aes.BlockSize != 0 {
		return nil
	}
	plain := make([]byte, len(contents))
	cipher.NewCBCDecrypter(block, vector).CryptBlocks(plain, contents)
	padding := int(plain[len(plain)-1])
	if padding == 0 || padding > aes.BlockSize {
		return nil
	}
	return plain[:len(plain)-padding]
}

var encryptedDataType = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 6}
