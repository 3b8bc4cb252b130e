package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// process is a running child whose output goes to a log file.
type process struct {
	name    string
	logPath string
	logFrom int64 // size of the log when the child started
	cmd     *exec.Cmd
	done    chan struct{} // closed when the child has ended and err is set
	err     error
}

// startProcess starts cmd with its output appended to logPath. The death signal of Linux is sent when the thread that
// started the child ends, so one goroutine keeps its thread for the child's whole life.
func startProcess(name string, cmd *exec.Cmd, logPath string) (*process, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer func() { _ = log.Close() }()
	info, err := log.Stat()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	p := &process{name: name, logPath: logPath, logFrom: info.Size(), cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		defer close(p.done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// ended says whether the child has ended.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// stop signals the child and waits for its end. When ctx ends first, the child is killed.
func (p *process) stop(ctx context.Context, sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		err := p.cmd.Process.Kill()
		<-p.done
		return errors.Join(fmt.Errorf("stop %s: killed: %w", p.name, context.Cause(ctx)), err)
	}
	if p.err != nil {
		return fmt.Errorf("stop %s: %w\n%s", p.name, p.err, p.logTail())
	}
	return nil
}

// end signals the child and waits for its end, however long that takes.
func (p *process) end(sig syscall.Signal) {
	if p.cmd.Process.Signal(sig) == nil {
		<-p.done
	}
}

// logTail is the end of what the child wrote to its log, for errors.
func (p *process) logTail() string {
	f, err := os.Open(p.logPath)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = f.Close() }()
	const most = 6000
	info, err := f.Stat()
	if err != nil {
		return err.Error()
	}
	from := max(p.logFrom, info.Size()-most)
	b, err := io.ReadAll(io.NewSectionReader(f, from, most))
	if err != nil {
		return err.Error()
	}
	return p.logPath + ":\n" + string(b)
}
