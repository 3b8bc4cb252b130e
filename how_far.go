package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"synupkeep/config"
	"synupkeep/internal/logging"
	"synupkeep/sinks/progress"
)

// shared is where the log is written: stderr, and if that is a terminal and bars are wanted, the screen that both share.
func (p program) shared(cfg *config.Config) io.Writer {
	if cfg.Quiet {
		return p.stderr
	}
	screen := progress.OnTerminal(p.stderr, p.lookupEnv)
	if screen == nil {
		return p.stderr
	}
	p.board.Draw(screen)
	return screen
}

// answer tells on stderr how far the run is whenever somebody asks by a signal, whatever is logged. Who asks again before
// an answer could be written gets one answer. The returned function ends that.
func (p program) answer(cfg *config.Config, log *logging.Logger, stderr io.Writer) (end func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		written := make(chan struct{}, 1)
		written <- struct{}{}
		for {
			select {
			case <-done:
				select { // what is being written is written, if anybody reads it
				case <-written:
				case <-time.After(time.Second):
				}
				return
			case <-p.asked:
			}
			lines := p.howFar(cfg)
			select {
			case <-written:
			default:
				continue
			}
			go func() {
				tell(stderr, cfg, log, lines)
				written <- struct{}{}
			}()
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

func (p program) howFar(cfg *config.Config) []string {
	if lines := p.board.Text(); lines != nil {
		return lines
	}
	return []string{fmt.Sprintf("synupkeep %s at %s: no run is under way", cfg.Command, time.Now().UTC().Format(time.RFC3339))}
}

// tell writes lines of text, or as many entries of a log that is JSON.
func tell(stderr io.Writer, cfg *config.Config, log *logging.Logger, lines []string) {
	if cfg.LogFormat != logging.JSON {
		_, _ = io.WriteString(stderr, log.Redact(strings.Join(lines, "\n")+"\n"))
		return
	}
	always := logging.New(stderr, logging.LevelInfo, logging.JSON)
	for _, line := range lines {
		always.Info(log.Redact(strings.TrimSpace(line)))
	}
}
