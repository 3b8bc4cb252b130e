package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/logging"
	"synupkeep/internal/sandbox"
)

func TestMain(m *testing.M) {
	testscript.Main(withSandbox{m}, map[string]func(){"synupkeep": main, "jq-in-go": jqInGo})
}

// withSandbox stops the sandbox that some tests start.
type withSandbox struct{ tests *testing.M }

func (w withSandbox) Run() int { return sandbox.TestMain(w.tests) }

// TestScripts runs the program for all that needs no server.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script", RequireExplicitExec: true, RequireUniqueNames: true})
}

// start runs the program with a pipeline of the test's own and returns the exit code, stdout and stderr.
func start(t *testing.T, signals <-chan os.Signal, run command, args ...string) (int, string, string) {
	t.Helper()
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	env := map[string]string{
		"SYNUPKEEP_POSTGRES": "host=db password=dbpassword", "SYNUPKEEP_SYNAPSE_AUTH_TOKEN": "syt_secretsecret", "SYNUPKEEP_DELTA": "30d",
	}
	var stdout, stderr bytes.Buffer
	code := program{
		args: args, now: time.Now(), stdout: &stdout, stderr: &stderr, signals: signals, commands: map[config.Command]command{config.CommandRun: run}, patience: time.Minute,
		exit:      func(code int) { t.Errorf("ended with exit code %d", code) },
		lookupEnv: func(name string) (string, bool) { value, set := env[name]; return value, set },
	}.main()
	return code, stdout.String(), stderr.String()
}

func TestExitCodeIsThatOfTheCauses(t *testing.T) {
	for code, causes := range map[int][]item.Cause{
		0: nil, 1: {item.CauseFailed}, 2: {item.CauseUsage}, 3: {item.CauseLeft, item.CauseItems}, 10: {item.CauseLeft},
		11: {item.CauseLocked}, 12: {item.CauseFailed, item.CauseToken}, 13: {item.CauseRefused}, 130: {item.CauseInterrupt}, 143: {item.CauseTerminated},
	} {
		got, _, stderr := start(t, nil, func(_, _ context.Context, _ *config.Config, _ *logging.Logger, _ io.Writer) []item.Cause {
			return causes
		})
		if got != code || stderr != "" {
			t.Errorf("%v: exit code %d, want %d\n%s", causes, got, code, stderr)
		}
	}
}

func TestTheRunGetsWhatWasAsked(t *testing.T) {
	called := false
	run := func(ctx, feed context.Context, cfg *config.Config, log *logging.Logger, stdout io.Writer) []item.Cause {
		called = true
		if ctx.Err() != nil || feed.Err() != nil || !cfg.JSON {
			t.Errorf("%v %v %+v", ctx.Err(), feed.Err(), cfg)
		}
		log.WithError(errors.New("cannot parse host=db password=dbpassword")).Trace("with syt_secretsecret and dbpassword")
		_, _ = io.WriteString(stdout, "summary")
		return nil
	}
	code, stdout, stderr := start(t, nil, run, "--json", "-l", "TRACE", "--room", "!a:hs")
	if code != 0 || stdout != "summary" || !called {
		t.Errorf("%d %q %t", code, stdout, called)
	}
	if !strings.Contains(stderr, " WARNING --room restricts the history only") || !strings.Contains(stderr, " TRACE with *** and ***") {
		t.Error(stderr)
	}
	if strings.Contains(stderr, "secret") || strings.Contains(stderr, "dbpassword") {
		t.Errorf("a secret shows: %s", stderr)
	}
}

func TestNothingRunsOnAUsageError(t *testing.T) {
	run := func(_, _ context.Context, _ *config.Config, _ *logging.Logger, _ io.Writer) []item.Cause {
		t.Error("it runs")
		return nil
	}
	for _, args := range [][]string{{"plna"}, {"--wat"}, {"run", "-d", "5m"}, {"help", "plna"}} {
		if code, stdout, stderr := start(t, nil, run, args...); code != 2 || stdout != "" || !strings.Contains(stderr, "nothing was done") {
			t.Errorf("%q: %d, %q, %q", args, code, stdout, stderr)
		}
	}
	for _, args := range [][]string{{"help"}, {"version"}, {"run", "-h"}} {
		if code, stdout, stderr := start(t, nil, run, args...); code != 0 || stdout == "" || stderr != "" {
			t.Errorf("%q: %d, %q, %q", args, code, stdout, stderr)
		}
	}
}

func TestSignalsStopInTwoSteps(t *testing.T) {
	for _, test := range []struct {
		first, second os.Signal
		soft, hard    item.Cause
		code          int
	}{
		{syscall.SIGINT, syscall.SIGTERM, item.CauseInterrupt, item.CauseTerminated, 130},
		{syscall.SIGTERM, syscall.SIGINT, item.CauseTerminated, item.CauseInterrupt, 143},
	} {
		signals := make(chan os.Signal, 2)
		run := func(ctx, feed context.Context, _ *config.Config, _ *logging.Logger, _ io.Writer) []item.Cause {
			signals <- test.first
			<-feed.Done()
			if ctx.Err() != nil {
				t.Error("the first signal ends what runs")
			}
			signals <- test.second
			<-ctx.Done()
			causes := []item.Cause{causeOf(feed, t), causeOf(ctx, t)}
			if causes[0] != test.soft || causes[1] != test.hard {
				t.Errorf("causes %v", causes)
			}
			return causes[:1]
		}
		code, _, stderr := start(t, signals, run)
		if code != test.code || strings.Count(stderr, "WARNING") != 2 {
			t.Errorf("%v: exit code %d, want %d\n%s", test.first, code, test.code, stderr)
		}
	}
}

func TestOneSignalLeavesNoGoroutine(t *testing.T) {
	signals := make(chan os.Signal, 2)
	code, _, _ := start(t, signals, func(_, feed context.Context, _ *config.Config, _ *logging.Logger, _ io.Writer) []item.Cause {
		signals <- os.Interrupt
		<-feed.Done()
		return nil
	})
	if code != 0 {
		t.Errorf("a signal after the last item: exit code %d", code)
	}
}

// blocked is a pipe that nobody reads.
type blocked struct{ until chan struct{} }

func (b blocked) Write(text []byte) (int, error) { <-b.until; return len(text), nil }

// A second signal ends the process also when the run does not, and when nobody reads what is said about it.
func TestASecondSignalEndsAProcessThatHangs(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	hangs := blocked{make(chan struct{})}
	signals := make(chan os.Signal, 2)
	codes := make(chan int, 1)
	ended := make(chan int)
	p := program{
		args: []string{"--quiet"}, now: time.Now(), stdout: hangs, stderr: hangs, signals: signals, patience: time.Millisecond,
		exit: func(code int) { codes <- code },
		commands: map[config.Command]command{config.CommandRun: func(ctx, _ context.Context, _ *config.Config, _ *logging.Logger, stdout io.Writer) []item.Cause {
			signals <- syscall.SIGTERM
			signals <- syscall.SIGTERM
			<-ctx.Done()
			_, _ = io.WriteString(stdout, "summary")
			return nil
		}},
		lookupEnv: func(name string) (string, bool) {
			value, set := map[string]string{
				"SYNUPKEEP_POSTGRES": "host=db", "SYNUPKEEP_SYNAPSE_AUTH_TOKEN": "syt_secretsecret", "SYNUPKEEP_DELTA": "30d",
			}[name]
			return value, set
		},
	}
	go func() { ended <- p.main() }()
	if code := <-codes; code != 143 {
		t.Errorf("exit code %d, want 143", code)
	}
	close(hangs.until)
	<-ended
}

func causeOf(ctx context.Context, t *testing.T) item.Cause {
	t.Helper()
	var stopped *item.RunError
	if !errors.As(context.Cause(ctx), &stopped) {
		t.Fatalf("%v carries no cause", context.Cause(ctx))
	}
	return stopped.Cause
}
