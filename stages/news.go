package stages

import (
	"context"

	"synupkeep/internal/item"
	"synupkeep/internal/postgres"
)

// News tells what has come to be shown since the protected set was read. It is asked once more when a deletion has begun,
// and within its transaction.
type News interface {
	// Shown returns those of the media that are shown since, and by what.
	Shown(ctx context.Context, q postgres.Querier, mediaIDs []string) (map[string]item.Reason, error)
}
