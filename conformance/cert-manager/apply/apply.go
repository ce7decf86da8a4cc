// Package apply lets cert-manager's controllers work on manifests in an API server of their own, until every object has the
// outcome that its label announces, and writes what came of it to a directory.
package apply

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/cert-manager/cert-manager/comparison/cluster"
	"github.com/cert-manager/cert-manager/comparison/controllers"
	"github.com/cert-manager/cert-manager/comparison/manifests"
)

// Options say where everything is.
type Options struct {
	Programs string   // directory of the built programs
	CRDs     []string // directories of CustomResourceDefinitions
	Specs    string   // directory of manifests
	Work     string   // data and logs of the servers; must exist
	Out      string   // the dump; must not exist
}

// Run is the whole of it. An error of the deadline says which objects are not there yet.
func Run(ctx context.Context, options Options) error {
	objects, err := manifests.Read(options.Specs)
	if err != nil {
		return err
	}
	if err := os.Mkdir(options.Out, 0o700); err != nil {
		return err
	}
	started := time.Now()
	server, err := cluster.Start(ctx, options.Programs, options.Work)
	if err != nil {
		return err
	}
	defer server.Stop()
	ready := time.Now()
	client, err := newClient(server.Config)
	if err != nil {
		return err
	}
	if err := client.installCRDs(ctx, options.CRDs); err != nil {
		return err
	}
	// Ends before the servers do.
	ctx, cancel := context.WithTimeout(ctx, settleDeadline)
	defer cancel()
	failed, err := controllers.Run(ctx, server.Kubeconfig)
	if err != nil {
		return err
	}
	for _, object := range objects {
		if err := client.create(ctx, object); err != nil {
			return err
		}
	}
	if err := client.waitSettled(ctx, objects, failed); err != nil {
		return err
	}
	settled := time.Now()
	if err := client.dump(ctx, options.Out); err != nil {
		return err
	}
	fmt.Printf("%d objects; server ready after %.1f s, settled after %.1f s more\n",
		len(objects), ready.Sub(started).Seconds(), settled.Sub(ready).Seconds())
	return nil
}

const settleDeadline = 2 * time.Minute
