package connect

import (
	"slices"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/synapse"
)

// Needs are the privileges that the flows of a run need beside reading.
func Needs(cfg *config.Config) synapse.Needs {
	deletes := func(f item.Flow) bool { return cfg.Media.Via != config.ViaAPI && slices.Contains(cfg.Flows, f) }
	drift := deletes(item.Drift) && len(cfg.Drift.Delete) > 0
	return synapse.Needs{
		DeleteLocalMedia:  deletes(item.LocalMedia),
		DeletePreviews:    deletes(item.Previews) || drift, // of drift also rows of uploads, and they are of the same tables
		DeleteRemoteMedia: deletes(item.RemoteMedia) || drift,
		AccountData:       slices.Contains(cfg.Flows, item.LocalMedia),
	}
}
