// Package retry makes calls that may fail for a while. It fences in backoff/v4: op is never called on a dead context, its
// last error is kept when the context ends, and a server that asks for time gets it.
package retry

import (
	"context"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"

	"synupkeep/internal/printable"
)

// Policy says how long to try. Its zero value tries once.
type Policy struct {
	// For is how long a server that is not there is waited for.
	For time.Duration
	// First is the first pause; it grows up to Most. Zero means 250 ms and 15 s.
	First, Most time.Duration
}

// Again says whether an error may go away, and for how long the other side asked to be left alone.
type Again func(error) (again bool, wait time.Duration)

// UnavailableError says that something was not there for as long as it is waited for.
type UnavailableError struct {
	For time.Duration
	Err error
}

func (e *UnavailableError) Error() string {
	return fmt.Sprintf("%v (tried for %s)", e.Err, printable.Duration(e.For.Round(time.Second)))
}

func (e *UnavailableError) Unwrap() error { return e.Err }

// Do calls op until it succeeds, fails for good, or has failed for too long; then the error is an *UnavailableError.
// It returns how often op was called.
func (r Policy) Do(ctx context.Context, op func() error, again Again) (int, error) {
	if err := context.Cause(ctx); err != nil {
		return 0, err
	}
	tries := 0
	var last error
	started := time.Now()
	pauses := &patient{ExponentialBackOff: r.pauses()}
	retry := func() error {
		if ctx.Err() != nil {
			return backoff.Permanent(ctx.Err()) // it ended together with a pause
		}
		tries++
		last = op()
		if last == nil {
			return nil
		}
		more, wait := again(last)
		if !more {
			return backoff.Permanent(last)
		}
		pauses.atLeast = wait
		return last
	}
	err := backoff.Retry(retry, backoff.WithContext(pauses, ctx))
	switch {
	case err == nil:
		return tries, nil
	case last == nil:
		return tries, context.Cause(ctx)
	case ctx.Err() != nil:
		return tries, fmt.Errorf("%w; the last try: %w", context.Cause(ctx), last)
	case pauses.exhausted:
		return tries, &UnavailableError{For: time.Since(started), Err: last}
	}
	return tries, last
}

func (r Policy) pauses() *backoff.ExponentialBackOff {
	p := backoff.NewExponentialBackOff()
	p.InitialInterval = 250 * time.Millisecond
	p.MaxInterval = 15 * time.Second
	if r.First > 0 {
		p.InitialInterval = r.First
	}
	if r.Most > 0 {
		p.MaxInterval = r.Most
	}
	// For backoff/v4 zero means without end; for us it means once.
	p.MaxElapsedTime = max(r.For, time.Nanosecond)
	p.Reset()
	return p
}

// patient waits at least as long as the server asked to be left alone.
type patient struct {
	*backoff.ExponentialBackOff
	atLeast   time.Duration
	exhausted bool
}

// NextBackOff implements backoff.BackOff.
func (p *patient) NextBackOff() time.Duration {
	next := p.ExponentialBackOff.NextBackOff()
	if next == backoff.Stop {
		p.exhausted = true
		return next
	}
	if p.MaxElapsedTime > 0 && p.GetElapsedTime()+p.atLeast > p.MaxElapsedTime {
		p.exhausted = true
		return backoff.Stop
	}
	return max(next, p.atLeast)
}
