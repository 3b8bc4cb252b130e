package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// answerTimeout is how long the answer to a statement is waited for. The server itself ends a statement earlier, after
// statementTimeout: this is for a server, or something on the way to it, that keeps the connection and says nothing more.
const answerTimeout = statementTimeout + 30*time.Second

// bound ends statements that are not answered in time. What it ends looks like a server that is away: the connection is
// given up, and whether the statement was executed is not known.
type bound struct{ limit time.Duration }

type boundKey struct{}

type unboundedKey struct{}

// Unbounded gives statements as long as they take. It is for one that reads a whole table of a large server, in a transaction
// without statement_timeout.
func Unbounded(ctx context.Context) context.Context {
	return context.WithValue(ctx, unboundedKey{}, true)
}

// TraceQueryStart implements pgx.QueryTracer.
func (b bound) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	if ctx.Value(unboundedKey{}) != nil {
		return ctx
	}
	ctx, cancel := context.WithTimeoutCause(ctx, b.limit, fmt.Errorf("no answer within %v", b.limit))
	return context.WithValue(ctx, boundKey{}, cancel)
}

// TraceQueryEnd implements pgx.QueryTracer.
func (b bound) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryEndData) {
	if cancel, ok := ctx.Value(boundKey{}).(context.CancelFunc); ok {
		cancel()
	}
}
