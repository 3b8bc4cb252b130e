package pipeline

import (
	"context"
	"errors"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"synupkeep/internal/flow"
	"synupkeep/internal/item"
)

// TestAFailingSourceDoesNotTearApartWhatItGave: rows that are gone when the database goes away must be followed by their
// files.
func TestAFailingSourceDoesNotTearApartWhatItGave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := errors.New("the database is away")
		source := func(context.Context) iter.Seq2[item.Media, error] {
			return func(yield func(item.Media, error) bool) {
				for range 2 {
					if !yield(item.Media{}, nil) {
						t.Error("the flow takes no more")
						return
					}
				}
				yield(item.Media{}, away)
			}
		}
		p := flow.New(t.Context(), t.Context())
		slow := flow.Map(p, 1, flow.From(p, gently(p, source)), func(ctx context.Context, m item.Media) (item.Media, error) {
			select {
			case <-ctx.Done():
				return m, context.Cause(ctx)
			case <-time.After(time.Hour):
				return m, nil
			}
		})
		done := 0
		flow.Drain(p, slow, func(context.Context, item.Media) error { done++; return nil })
		if err := p.Wait(); err != nil || done != 2 {
			t.Errorf("%d of 2 came to their end: %v", done, err)
		}
		var stop *item.RunError
		if !errors.As(p.StopCause(), &stop) || stop.Cause != item.CauseFailed || !errors.Is(stop, away) {
			t.Errorf("the flow does not say why it ended early: %v", p.StopCause())
		}
	})
}
