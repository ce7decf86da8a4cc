// pause is the first process of every pod: it holds the pod's namespaces, and takes in orphans, until it is told to stop.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGCHLD, syscall.SIGINT, syscall.SIGTERM)
	for received := range signals {
		if received != syscall.SIGCHLD {
			return
		}
		for taken, err := 1, error(nil); taken > 0 && err == nil; {
			taken, err = syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		}
	}
}
