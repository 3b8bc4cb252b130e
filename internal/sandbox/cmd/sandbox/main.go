// Command sandbox runs the sandbox by hand: for the demo, and to look around in a real Synapse.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"synupkeep/internal/sandbox"
)

// upVariable marks the background process of up --detach, which writes its result to a pipe.
const upVariable = "SYNUPKEEP_SANDBOX_DETACHED"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := app().RunContext(ctx, os.Args)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func app() *cli.App {
	dir := &cli.StringFlag{Name: "dir", Aliases: []string{"d"}, Usage: "`DIRECTORY` of the sandbox", Required: true}
	versions := []cli.Flag{
		&cli.StringFlag{
			Name: "synapse", Usage: "`RELEASE` of Synapse: " + strings.Join(sandbox.Releases(), ", ") + " (default: the newest)",
			EnvVars: []string{"SYNUPKEEP_SANDBOX_SYNAPSE"},
		},
		&cli.StringFlag{
			Name: "postgres", Usage: "`MAJOR` of PostgreSQL: " + strings.Join(sandbox.PostgresMajors(), ", ") +
				", or the directory of its programs; always the same for the same sandbox (default: the newest)",
			EnvVars: []string{"SYNUPKEEP_SANDBOX_POSTGRES"},
		},
	}
	return &cli.App{
		Name:            "sandbox",
		Usage:           "a real PostgreSQL and a real Synapse to try synupkeep on",
		HideHelpCommand: true,
		Commands: []*cli.Command{
			{
				Name:  "up",
				Usage: "start the sandbox, fill it the first time, write sandbox.env and token; stop it on SIGINT or SIGTERM",
				Flags: append([]cli.Flag{
					dir,
					&cli.BoolFlag{Name: "detach", Usage: "return when it is up and leave it running; stop it with down"},
					&cli.BoolFlag{Name: "empty", Usage: "do not fill it"},
				}, versions...),
				Action: up,
			},
			{Name: "down", Usage: "stop the sandbox that runs in the directory", Flags: []cli.Flag{dir}, Action: down},
			{Name: "seed", Usage: "fill the sandbox, unless that was done, and stop it again", Flags: append([]cli.Flag{dir}, versions...), Action: seed},
		},
	}
}

func start(c *cli.Context, fill bool) (*sandbox.Server, error) {
	s, err := sandbox.Start(c.Context, sandbox.Options{
		Dir: c.String("dir"), Synapse: c.String("synapse"), Postgres: c.String("postgres"), Log: os.Stderr,
	})
	if err != nil {
		return nil, err
	}
	if fill && !s.Seeded() {
		if err := s.Seed(c.Context); err != nil {
			return nil, errors.Join(err, s.Stop())
		}
	}
	return s, nil
}

func seed(c *cli.Context) error {
	s, err := start(c, true)
	if err != nil {
		return err
	}
	return s.Stop()
}

func up(c *cli.Context) error {
	if c.Bool("detach") {
		return detach(c)
	}
	s, err := start(c, !c.Bool("empty"))
	if err == nil {
		if err = s.WriteEnv(); err != nil {
			err = errors.Join(err, s.Stop())
		}
	}
	if os.Getenv(upVariable) != "" {
		report := os.NewFile(3, "report")
		if err != nil {
			_, _ = fmt.Fprint(report, err)
		} else {
			_, _ = fmt.Fprint(report, "up")
		}
		_ = report.Close()
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "sandbox: up at %s; its variables are in %s\n", s.APIURL(), filepath.Join(s.Dir(), "sandbox.env"))
	<-c.Done()
	return s.Stop()
}

// detach starts up again in the background, in a session of its own, and waits for its report.
func detach(c *cli.Context) error {
	dir, err := filepath.Abs(c.String("dir"))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	logPath := filepath.Join(dir, "sandbox.log")
	log, err := os.Create(logPath)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := []string{"up", "--dir", dir}
	if c.Bool("empty") {
		args = append(args, "--empty")
	}
	for _, name := range []string{"synapse", "postgres"} {
		if c.String(name) != "" {
			args = append(args, "--"+name, c.String(name))
		}
	}
	// It outlives this process and its context; until it is up, it is stopped with it.
	cmd := exec.CommandContext(context.WithoutCancel(c.Context), self, args...)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = log, log, []*os.File{w}
	cmd.Env = append(os.Environ(), upVariable+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return errors.Join(err, w.Close())
	}
	if err := w.Close(); err != nil {
		return err
	}
	ended := context.AfterFunc(c.Context, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	defer ended()
	b := make([]byte, 1<<16)
	n, err := r.Read(b)
	if report := string(b[:n]); err != nil || report != "up" {
		return errors.Join(fmt.Errorf("the sandbox did not start: %s (log: %s)", report, logPath), cmd.Wait())
	}
	fmt.Fprintln(os.Stderr, "sandbox: up; its variables are in", filepath.Join(dir, "sandbox.env"))
	return cmd.Process.Release()
}

func down(c *cli.Context) error {
	pid, err := sandbox.Running(c.String("dir"))
	if err != nil {
		return err
	}
	if pid == 0 {
		fmt.Fprintln(os.Stderr, "sandbox: not running in", c.String("dir"))
		return nil
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop process %d: %w", pid, err)
	}
	ctx, cancel := context.WithTimeout(c.Context, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("process %d still runs in %s: %w", pid, c.String("dir"), ctx.Err())
		case <-tick.C:
		}
		if now, err := sandbox.Running(c.String("dir")); err == nil && now == 0 {
			return nil
		}
	}
}
