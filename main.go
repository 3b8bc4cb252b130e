// Synupkeep keeps a Matrix Synapse homeserver small: it deletes the history of rooms, the media and the URL previews that
// are older than an age. This file turns the command line into a run and what became of it into an exit code.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
	_ "time/tzdata" // in a container from scratch there is none

	_ "golang.org/x/crypto/x509roots/fallback" // nor are there roots of certificates; those of the system win where it has any

	"synupkeep/config"
	"synupkeep/cron"
	"synupkeep/doctor"
	"synupkeep/internal/item"
	"synupkeep/internal/logging"
	"synupkeep/internal/privileges"
	"synupkeep/pipeline"
	"synupkeep/repair"
	"synupkeep/sinks/progress"
	"synupkeep/token"
	"synupkeep/usage"
)

func main() {
	// A reader of our output that goes away (| head) must not end a run between a DELETE and its files.
	signal.Ignore(syscall.SIGPIPE)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	board := progress.New()
	p := program{
		args: os.Args[1:], lookupEnv: os.LookupEnv, dataDir: "/data", now: time.Now(), stdout: os.Stdout, stderr: os.Stderr,
		signals: signals, asked: asked, board: board, commands: commands(board), patience: lastPatience, exit: os.Exit,
	}
	// Before anything is read. In the image root becomes somebody less.
	warnings, err := privileges.Drop(privileges.Input{LookupEnv: p.lookupEnv, Stores: config.MediaStores(p.input())})
	if err != nil {
		os.Exit(p.refuse(err))
	}
	p.warnings = warnings
	os.Exit(p.main())
}

// command does what a command is for and returns why the exit code should be other than 0. When feed is done no new work is
// begun; when ctx is done everything ends at once.
type command func(ctx, feed context.Context, cfg *config.Config, log *logging.Logger, stdout io.Writer) []item.Cause

// commands are watched on the board, as far as they tell how far they are.
func commands(board *progress.Board) map[config.Command]command {
	watched := pipeline.Watched{Board: board}
	return map[config.Command]command{
		config.CommandRun:    watched.Run,
		config.CommandPlan:   watched.Plan,
		config.CommandUsage:  usage.Run,
		config.CommandDoctor: doctor.Run,
		config.CommandRepair: repair.With(repair.NewConsole(os.Stdin, os.Stderr)),
		config.CommandCron:   command(cron.With(watched.Run)),
		config.CommandHealth: cron.Ask,
		config.CommandToken:  token.Get(token.AskAt(os.Stdin, os.Stderr)),
	}
}

// lastPatience is how long a run may take to end after a second signal. It is more than the run itself waits for what is
// under way, so that it is used up only by somebody who does not read what we print.
const lastPatience = 30 * time.Second

// program is main without the process around it.
type program struct {
	args           []string
	lookupEnv      func(string) (string, bool)
	dataDir        string
	now            time.Time
	stdout, stderr io.Writer
	signals        <-chan os.Signal
	asked          <-chan os.Signal // how far it is
	board          *progress.Board
	commands       map[config.Command]command
	patience       time.Duration
	exit           func(code int)
	warnings       []string // of what was before the log
}

func (p program) input() config.Input {
	return config.Input{Args: p.args, LookupEnv: p.lookupEnv, DataDir: p.dataDir, Now: p.now, Stdout: p.stdout}
}

// refuse tells what is wrong with arguments and environment.
func (p program) refuse(err error) (code int) {
	for line := range strings.Lines(err.Error()) {
		_, _ = fmt.Fprintf(p.stderr, "synupkeep: %s\n", strings.TrimSuffix(line, "\n"))
	}
	_, _ = fmt.Fprintln(p.stderr, "synupkeep: nothing was done; synupkeep help lists the flags and what they accept")
	return item.ExitCode([]item.Cause{item.CauseUsage})
}

// main returns the exit code.
func (p program) main() int {
	cfg, _, err := config.Parse(p.input())
	if err != nil {
		return p.refuse(err)
	}
	if cfg == nil { // help and version are done
		return item.ExitCode(nil)
	}
	do, known := p.commands[cfg.Command]
	if !known {
		_, _ = fmt.Fprintf(p.stderr, "synupkeep: the command %s is not in this program\n", cfg.Command)
		return item.ExitCode([]item.Cause{item.CauseUsage})
	}
	stderr := p.shared(cfg)
	log := logging.New(stderr, cfg.LogLevel(), cfg.LogFormat)
	log.Hide(cfg.Secrets()...)
	defer p.answer(cfg, log, stderr)()
	cfg.Warnings = slices.Concat(p.warnings, cfg.Warnings)
	for _, warning := range cfg.Warnings {
		log.Warn(warning)
	}
	ctx, feed, stop := p.contexts(log)
	defer stop()
	return item.ExitCode(do(ctx, feed, cfg, log, p.stdout))
}

// contexts stops in two steps: the first signal ends feed, so that no new work begins; the second ends ctx, which what runs
// listens to. The cause of either is an *item.RunError. A process that does not end then is ended: what it leaves behind
// is no more than what a kill leaves. The returned function ends the goroutine that waits for signals.
func (p program) contexts(log *logging.Logger) (ctx, feed context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	feed, endFeed := context.WithCancelCause(ctx)
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		var causes []item.Cause
		for _, step := range []struct {
			end   context.CancelCauseFunc
			doing string
			means string
		}{
			{endFeed, "stopped by a signal", "no new work is begun, what runs is finished; a second signal ends that too"},
			{cancel, "stopped at once by a second signal", "ending at once"},
		} {
			select {
			case <-done:
				return
			case received := <-p.signals:
				stopped := signalError(step.doing, received)
				causes = append(causes, stopped.Cause)
				step.end(stopped)
				p.say(log, received.String()+": "+step.means)
			}
		}
		select {
		case <-done:
		case <-time.After(p.patience):
			p.exit(item.ExitCode(causes))
		}
	}()
	return ctx, feed, func() {
		close(done)
		<-ended
		cancel(nil)
	}
}

// say logs, and does not wait for long: whoever reads stderr may have gone to sleep, and signals must be heard all the same.
func (p program) say(log *logging.Logger, text string) {
	said := make(chan struct{})
	go func() {
		defer close(said)
		log.Warn(text)
	}()
	select {
	case <-said:
	case <-time.After(time.Second):
	}
}

func signalError(doing string, received os.Signal) *item.RunError {
	cause := item.CauseTerminated
	if received == os.Interrupt {
		cause = item.CauseInterrupt
	}
	return &item.RunError{Cause: cause, Doing: doing + " (" + received.String() + ")"}
}
