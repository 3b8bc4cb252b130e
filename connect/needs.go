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
	return synapse.Needs{
		DeleteLocalMedia:  deletes(item.LocalMedia),
		DeletePreviews:    deletes(item.Previews),
		DeleteRemoteMedia: deletes(item.RemoteMedia),
		AccountData:       slices.Contains(cfg.Flows, item.LocalMedia),
	}
}
