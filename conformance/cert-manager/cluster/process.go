package cluster

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// process is a program that serves until it is stopped.
type process struct {
	name    string
	command *exec.Cmd
	done    chan struct{}
}

func start(log, program string, arguments ...string) (*process, error) {
	output, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer output.Close()
	command := exec.Command(program, arguments...)
	command.Stdout, command.Stderr = output, output
	// Whoever kills us kills the children too.
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", program, err)
	}
	done := make(chan struct{})
	go func() {
		_ = command.Wait()
		close(done)
	}()
	return &process{name: filepath.Base(program), command: command, done: done}, nil
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// stop does not ask: the data goes with the directory.
func (p *process) stop() {
	_ = p.command.Process.Kill()
	<-p.done
}
