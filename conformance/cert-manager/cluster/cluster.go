// Package cluster runs an API server of its own: etcd and kube-apiserver alone, without a node, on free loopback ports.
package cluster

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Cluster is the running pair. Its processes end with Stop, or with this process.
type Cluster struct {
	Config     *rest.Config
	Kubeconfig string
	processes  []*process
}

// Start runs the programs `server` (etcd) and `kube-apiserver` of the directory programs and waits until the API server is
// ready. All data and logs stay below directory.
func Start(ctx context.Context, programs, directory string) (*Cluster, error) {
	client, peer, secure, err := threePorts()
	if err != nil {
		return nil, err
	}
	token, keys, err := credentials(directory)
	if err != nil {
		return nil, err
	}
	cluster := &Cluster{}
	clientURL, peerURL := fmt.Sprintf("http://127.0.0.1:%d", client), fmt.Sprintf("http://127.0.0.1:%d", peer)
	err = cluster.run(directory, filepath.Join(programs, "server"),
		"--data-dir", filepath.Join(directory, "etcd"), "--unsafe-no-fsync", "--log-level", "warn",
		"--listen-client-urls", clientURL, "--advertise-client-urls", clientURL,
		"--listen-peer-urls", peerURL, "--initial-advertise-peer-urls", peerURL, "--initial-cluster", "default="+peerURL)
	if err != nil {
		return nil, err
	}
	certificates := filepath.Join(directory, "apiserver")
	err = cluster.run(directory, filepath.Join(programs, "kube-apiserver"),
		"--etcd-servers", clientURL, "--bind-address", "127.0.0.1", "--secure-port", fmt.Sprint(secure),
		"--cert-dir", certificates, "--token-auth-file", filepath.Join(directory, tokenFile),
		"--authorization-mode", "AlwaysAllow", "--anonymous-auth=false", "--service-cluster-ip-range", "10.96.0.0/24",
		// Nobody makes ServiceAccounts here, and no Service has endpoints.
		"--disable-admission-plugins", "ServiceAccount", "--endpoint-reconciler-type", "none",
		"--service-account-issuer", "https://kubernetes.default.svc",
		"--service-account-key-file", keys, "--service-account-signing-key-file", keys)
	if err != nil {
		cluster.Stop()
		return nil, err
	}
	if err := cluster.connect(directory, fmt.Sprintf("https://127.0.0.1:%d", secure), token, filepath.Join(certificates, "apiserver.crt")); err != nil {
		cluster.Stop()
		return nil, err
	}
	if err := cluster.waitReady(ctx); err != nil {
		cluster.Stop()
		return nil, err
	}
	return cluster, nil
}

// Stop ends both processes.
func (c *Cluster) Stop() {
	for _, process := range c.processes {
		process.stop()
	}
}

func (c *Cluster) run(directory, program string, arguments ...string) error {
	process, err := start(filepath.Join(directory, filepath.Base(program)+".log"), program, arguments...)
	if err != nil {
		return err
	}
	c.processes = append(c.processes, process)
	return nil
}

// connect writes the kubeconfig. The certificate file, which the API server makes when it starts, is read at the first request.
func (c *Cluster) connect(directory, server, token, authority string) error {
	config := clientcmdapi.NewConfig()
	config.Clusters["lone"] = &clientcmdapi.Cluster{Server: server, CertificateAuthority: authority}
	config.AuthInfos["lone"] = &clientcmdapi.AuthInfo{Token: token}
	config.Contexts["lone"] = &clientcmdapi.Context{Cluster: "lone", AuthInfo: "lone"}
	config.CurrentContext = "lone"
	c.Kubeconfig = filepath.Join(directory, "kubeconfig")
	if err := clientcmd.WriteToFile(*config, c.Kubeconfig); err != nil {
		return err
	}
	c.Config = &rest.Config{Host: server, BearerToken: token, TLSClientConfig: rest.TLSClientConfig{CAFile: authority}, QPS: -1}
	return nil
}

func (c *Cluster) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startDeadline)
	defer cancel()
	for {
		err := c.readyz(ctx)
		if err == nil {
			return nil
		}
		for _, process := range c.processes {
			if process.ended() {
				return fmt.Errorf("%s ended; see its log", process.name)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the API server is not ready: %w", err)
		case <-time.After(pollInterval):
		}
	}
}

func (c *Cluster) readyz(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(c.Config)
	if err != nil {
		return err
	}
	return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
}

// credentials writes the token file and the key that signs tokens of ServiceAccounts, which the API server cannot be without.
func credentials(directory string) (token, keys string, err error) {
	random := make([]byte, 16)
	if _, err := rand.Read(random); err != nil {
		return "", "", err
	}
	token = hex.EncodeToString(random)
	line := token + ",admin,admin,system:masters\n"
	if err := os.WriteFile(filepath.Join(directory, tokenFile), []byte(line), 0o600); err != nil {
		return "", "", err
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return "", "", err
	}
	keys = filepath.Join(directory, "service-accounts.key")
	block := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}
	return token, keys, os.WriteFile(keys, pem.EncodeToMemory(block), 0o600)
}

// threePorts asks the system for ports that are free now.
func threePorts() (client, peer, secure int, err error) {
	var ports [3]int
	for i := range ports {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, 0, 0, err
		}
		// Kept until all are drawn, so that no port is drawn twice.
		defer listener.Close()
		ports[i] = listener.Addr().(*net.TCPAddr).Port
	}
	return ports[0], ports[1], ports[2], nil
}

const (
	tokenFile     = "tokens.csv"
	startDeadline = time.Minute
	pollInterval  = 50 * time.Millisecond
)
