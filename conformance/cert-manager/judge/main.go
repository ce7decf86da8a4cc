// judge is how cert-manager itself says what Sealway's issuer has to do:
//
//	judge apply -programs DIR -crds DIR -crds DIR -specs DIR -work DIR -out DIR
//	judge controllers -kubeconfig FILE
//	judge compare -want DUMP -got DUMP -specs DIR -excused FILE
//	judge facts -of DUMP -specs DIR
//	judge validate DIR
package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/cert-manager/cert-manager/comparison/apply"
	"github.com/cert-manager/cert-manager/comparison/compare"
	"github.com/cert-manager/cert-manager/comparison/controllers"
	"github.com/cert-manager/cert-manager/comparison/validate"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "judge:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, arguments []string) error {
	if len(arguments) == 0 {
		return fmt.Errorf("one of: apply, controllers, compare, facts, validate")
	}
	flags := flag.NewFlagSet(arguments[0], flag.ExitOnError)
	switch arguments[0] {
	case "apply":
		var options apply.Options
		flags.StringVar(&options.Programs, "programs", "", "directory of the built programs")
		flags.Func("crds", "directory of CustomResourceDefinitions; may be repeated", func(directory string) error {
			options.CRDs = append(options.CRDs, directory)
			return nil
		})
		flags.StringVar(&options.Specs, "specs", "", "directory of manifests")
		flags.StringVar(&options.Work, "work", "", "directory for data and logs")
		flags.StringVar(&options.Out, "out", "", "directory to make and to fill")
		_ = flags.Parse(arguments[1:])
		return apply.Run(ctx, options)
	case "controllers":
		kubeconfig := flags.String("kubeconfig", "", "how to reach the API server, which has cert-manager's CRDs")
		_ = flags.Parse(arguments[1:])
		failed, err := controllers.Run(ctx, *kubeconfig)
		if err != nil {
			return err
		}
		select {
		case err := <-failed:
			return err
		case <-ctx.Done():
			return nil
		}
	case "compare":
		want := flags.String("want", "", "dump of cert-manager")
		got := flags.String("got", "", "dump of the other")
		specs := flags.String("specs", "", "directory of manifests")
		excused := flags.String("excused", "", "file of excused differences")
		_ = flags.Parse(arguments[1:])
		return compare.Run(*want, *got, *specs, *excused)
	case "validate":
		_ = flags.Parse(arguments[1:])
		return validate.Run(flags.Arg(0), os.Stdout)
	case "facts":
		of := flags.String("of", "", "dump of cert-manager")
		specs := flags.String("specs", "", "directory of manifests")
		_ = flags.Parse(arguments[1:])
		return printFacts(*of, *specs)
	default:
		return fmt.Errorf("%s: no such command", arguments[0])
	}
}

// printFacts is for the eye.
func printFacts(of, specs string) error {
	facts, err := compare.Facts(of, of, specs)
	if err != nil {
		return err
	}
	for _, fact := range slices.Sorted(maps.Keys(facts)) {
		fmt.Printf("%s = %s\n", fact, facts[fact])
	}
	return nil
}
