package compare

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	cmapi "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/cert-manager/cert-manager/comparison/manifests"
)

// dump is what package apply writes. Keys are the files' paths without extension, as in `secrets/shop/plain`.
type dump struct {
	secrets  map[string]*corev1.Secret
	statuses map[string]map[string]any
	// certificates are the whole objects, by namespace/name.
	certificates map[string]*cmapi.Certificate
	// passwords are the data of the manifests' own Secrets, by namespace/name.
	passwords map[string]map[string][]byte
	known     *known
}

// Facts states everything about the dump in directory; specs of Certificates are read from the dump reference.
func Facts(directory, reference, specs string) (map[string]string, error) {
	read, err := readDump(directory, reference, specs)
	if err != nil {
		return nil, err
	}
	stated := map[string]string{}
	for path, secret := range read.secrets {
		if err := read.secretFacts(facts{path, stated}, secret); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	for path, status := range read.statuses {
		if err := read.statusFacts(facts{path, stated}, path, status); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return stated, nil
}

func readDump(directory, reference, specs string) (*dump, error) {
	read := &dump{
		secrets: map[string]*corev1.Secret{}, statuses: map[string]map[string]any{},
		certificates: map[string]*cmapi.Certificate{}, passwords: map[string]map[string][]byte{},
	}
	if err := readAll(directory, "secrets", read.secrets); err != nil {
		return nil, err
	}
	if err := readAll(directory, "status", read.statuses); err != nil {
		return nil, err
	}
	whole := map[string]*cmapi.Certificate{}
	if err := readAll(reference, "reference/certificates", whole); err != nil {
		return nil, err
	}
	for path, certificate := range whole {
		read.certificates[strings.TrimPrefix(path, "reference/certificates/")] = certificate
	}
	if err := read.readPasswords(specs); err != nil {
		return nil, err
	}
	read.known = newKnown(read.secrets)
	return read, nil
}

func (d *dump) readPasswords(specs string) error {
	objects, err := manifests.Read(specs)
	if err != nil {
		return err
	}
	for _, object := range objects {
		if object.GetKind() != "Secret" {
			continue
		}
		secret := &corev1.Secret{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, secret); err != nil {
			return err
		}
		data := map[string][]byte{}
		for key, value := range secret.StringData {
			data[key] = []byte(value)
		}
		d.passwords[object.GetNamespace()+"/"+object.GetName()] = data
	}
	return nil
}

// readAll reads every *.json below a folder of the dump.
func readAll[T any](directory, below string, into map[string]T) error {
	return filepath.WalkDir(filepath.Join(directory, below), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var value T
		if err := json.Unmarshal(text, &value); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		relative, err := filepath.Rel(directory, path)
		if err != nil {
			return err
		}
		into[strings.TrimSuffix(filepath.ToSlash(relative), ".json")] = value
		return nil
	})
}
