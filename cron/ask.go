package cron

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/logging"
	"synupkeep/internal/printable"
)

// patience is how long an answer is waited for: a daemon that is well answers at once.
const patience = 3 * time.Second

var errUnwell = errors.New("it is not well")

// Ask asks the daemon at the address of the configuration how it is, and prints its answer.
func Ask(_, feed context.Context, cfg *config.Config, log *logging.Logger, stdout io.Writer) []item.Cause {
	err := ask(feed, cfg.Cron.Listen, stdout)
	var stopped *item.RunError
	switch {
	case errors.As(context.Cause(feed), &stopped):
		return []item.Cause{stopped.Cause}
	case errors.Is(err, errUnwell): // the answer says more
		return []item.Cause{item.CauseFailed}
	case err != nil:
		log.WithError(err).Error("ask " + cfg.Cron.Listen + " for its health: is synupkeep cron there, with --listen?")
		return []item.Cause{item.CauseFailed}
	}
	return nil
}

func ask(ctx context.Context, listen string, stdout io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1" // whoever listens everywhere listens there
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/health", http.NoBody)
	if err != nil {
		return err
	}
	transport := &http.Transport{DisableKeepAlives: true} // and no proxy: it is our own machine
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	const mostBytes = 4 << 10
	answer, err := io.ReadAll(io.LimitReader(response.Body, mostBytes))
	if err != nil {
		return err
	}
	if _, err := fmt.Fprint(stdout, printable.Text(string(answer))); err != nil {
		return err
	}
	switch response.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusServiceUnavailable:
		return errUnwell
	}
	return fmt.Errorf("it answers %s, which synupkeep cron does not", response.Status)
}
