package pipeline

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"synupkeep/config"
	"synupkeep/internal/homeserver"
	"synupkeep/internal/item"
	"synupkeep/internal/sandbox/stock"
)

// bridge is a service that no user of the database is registered by: what it uploads as itself only its registration tells.
func bridge(t *testing.T) []homeserver.AppService {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bridge.yaml")
	text := "id: telegram\nsender_localpart: telegrambot\nnamespaces: {users: [{exclusive: true, regex: '@telegram_.*'}]}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := homeserver.ReadAppServices(file)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestTheMediaOfBridgesStaysWhereThatIsAskedFor(t *testing.T) {
	s := emptied(t)
	execSQL(t, s, `UPDATE users SET appservice_id = NULL`)
	for _, via := range []config.Via{config.ViaDisk, config.ViaAPI} {
		t.Run(string(via), func(t *testing.T) {
			var bots, goes []string
			for _, user := range []string{"telegrambot", "telegram_1"} {
				bots = append(bots, upload(t, s, user, 90*day))
			}
			goes = append(goes, upload(t, s, "alice", 90*day))
			cfg := settings(s, item.LocalMedia)
			cfg.Media.Via, cfg.AppServices = via, bridge(t)
			cfg.Media.KeepBridged = true
			if via == config.ViaAPI {
				cfg.StateDir = ""
			}
			endsWith(t, do(t, cfg))
			left := func(mxc string) bool {
				return strings.Contains(strings.Join(slices.Collect(maps.Keys(stock.OfMedia(t, s).Files)), " "), idOf(mxc)[4:])
			}
			for _, mxc := range bots {
				if !left(mxc) {
					t.Errorf("%s, which the bridge uploaded, is gone", mxc)
				}
			}
			for _, mxc := range goes {
				if left(mxc) {
					t.Errorf("%s is left", mxc)
				}
			}
			cfg.Media.KeepBridged = false
			endsWith(t, do(t, cfg))
			for _, mxc := range bots {
				if left(mxc) {
					t.Errorf("%s is left without anybody who wants it to", mxc)
				}
			}
		})
	}
}

func TestAPlanWarnsOfMediaThatOnlyARegistrationTellsIsABridges(t *testing.T) {
	s := emptied(t)
	execSQL(t, s, `UPDATE users SET appservice_id = NULL`)
	upload(t, s, "telegrambot", 90*day)
	upload(t, s, "alice", 90*day)
	cfg := settings(s, item.LocalMedia)
	cfg.StateDir, cfg.AppServices = t.TempDir(), bridge(t)
	plan := makePlan(t, cfg)
	if text := strings.Join(plan.summary.Warnings, "\n"); !strings.Contains(text, "1 media (") || !strings.Contains(text, "(telegram)") {
		t.Errorf("%s", text)
	}
}
