package pipeline

import (
	"context"

	"synupkeep/config"
	"synupkeep/connect"
	"synupkeep/internal/logging"
)

func newToken(source config.Token, log *logging.Logger) (*connect.Token, error) {
	return connect.NewToken(source, log)
}

// checkSameServer refuses a database that is not that of the server whose token belongs to user.
func (r *run) checkSameServer(ctx context.Context, user string) error {
	same := connect.SameServer{API: r.api, APIURL: r.cfg.APIURL, DB: r.db, User: user, RetryFor: r.cfg.RetryFor}
	warnings, err := same.Check(ctx)
	r.warnings = append(r.warnings, warnings...)
	return err
}

// pastHiccups asks again only where the server answers 500. A server that is away at the very beginning is told at once.
func (r *run) pastHiccups(ctx context.Context, ask func() error) error {
	return connect.PastHiccups(ctx, r.cfg.RetryFor, ask)
}
