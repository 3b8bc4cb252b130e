package config

import (
	"math"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"synupkeep/internal/item"
	"synupkeep/internal/logging"
)

const (
	maxLimit = math.MaxInt32
	// maxRate is far above what any server does; it keeps the pauses between purges representable.
	maxRate = 6000
	// maxRoomBytes is the longest room id or alias that the Matrix specification allows.
	maxRoomBytes = 255
)

func (r *reader) apiURL() string {
	value, source, given := r.single("api-url")
	if !given {
		return strings.TrimRight(defaultAPIURL, "/")
	}
	const accepted = "http:// or https:// with a host, without user, query and fragment, such as http://localhost:8008; or " +
		"unix:// with the path of a socket, such as unix:///run/synapse/main.sock"
	value = r.withScheme(value)
	u, err := url.Parse(value)
	if err != nil || u.User != nil || strings.Contains(value, "@") {
		r.problem(source, "", "is not such a URL", accepted) // it may hold a password
		return ""
	}
	if u.Scheme == "unix" && u.Host == "" && path.IsAbs(u.Path) && u.RawQuery == "" && !strings.ContainsAny(value, "#%?") {
		return "unix://" + path.Clean(u.Path)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" || u.ForceQuery || strings.Contains(value, "#") {
		r.problem(source, value, "is not such a URL", accepted)
		return ""
	}
	return strings.TrimRight(value, "/")
}

// pingURL is told of begin and end. No problem shows it: it holds what proves that it is ours.
func (r *reader) pingURL(cfg *Config) Secret {
	value, source, given := r.single("ping")
	if !given {
		return Secret{}
	}
	r.hide(cfg, value)
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || strings.Contains(value, "#") {
		r.problem(source, "", "is not such a URL", "http:// or https:// with a host, such as https://hc-ping.com/<uuid>")
		return Secret{}
	}
	return NewSecret(value)
}

func (r *reader) path(name, fallback string) string {
	value, source, given := r.single(name)
	switch {
	case !given:
		return fallback
	case value == "":
		r.problem(source, "", "is empty", "a path")
		return fallback
	case strings.ContainsRune(value, 0):
		r.problem(source, "", "holds a NUL", "a path")
		return fallback
	}
	return filepath.Clean(value)
}

// defaultStateDir is where systemd wants it (of several directories the first), where the user's other programs keep
// theirs, or beside the media, which is there in every container; none where the media store is elsewhere.
func (r *reader) defaultStateDir(mediaStore string, via Via) string {
	if dirs, ok := r.in.LookupEnv("STATE_DIRECTORY"); ok && filepath.IsAbs(dirs) {
		first, _, _ := strings.Cut(dirs, ":")
		return filepath.Clean(first)
	}
	if dir, ok := r.in.LookupEnv("XDG_STATE_HOME"); ok && filepath.IsAbs(dir) {
		return filepath.Join(dir, "synupkeep")
	}
	if via == ViaAPI {
		return ""
	}
	return filepath.Join(mediaStore, ".synupkeep")
}

func (r *reader) level() logging.Level {
	value, source, given := r.single("logging-level")
	if !given {
		return logging.LevelInfo
	}
	level, err := logging.ParseLevel(value)
	if err != nil {
		var accepted []string
		for _, level := range logging.Levels() {
			accepted = append(accepted, level.String())
		}
		r.problem(source, value, "is not a logging level", strings.Join(accepted, ", "))
	}
	return level
}

func (r *reader) truth(name string, fallback bool) bool {
	value, source, given := r.single(name)
	if !given {
		return fallback
	}
	yes, err := strconv.ParseBool(value)
	if err != nil {
		r.problem(source, value, "is neither true nor false", "true, false, 1, 0")
	}
	return yes
}

func (r *reader) whole(name string, fallback, least, most int) int {
	value, source, given := r.single(name)
	if !given {
		return fallback
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < least || n > most {
		r.problem(source, value, "is not such a number", "a whole number from "+strconv.Itoa(least)+" to "+strconv.Itoa(most))
		return fallback
	}
	return n
}

func (r *reader) rate(name string) float64 {
	value, source, given := r.single(name)
	if !given {
		return 0
	}
	rate, err := strconv.ParseFloat(value, 64)
	if err != nil || math.IsNaN(rate) || rate < 0 || rate > maxRate {
		r.problem(source, value, "is not such a number", "a number a minute from 0 (no limit) to "+strconv.Itoa(maxRate))
		return 0
	}
	return rate
}

func (r *reader) duration(name string, fallback, least time.Duration) time.Duration {
	value, source, given := r.single(name)
	if !given {
		return fallback
	}
	d, err := ParseDuration(value)
	if err != nil {
		r.problem(source, value, err.Error(), acceptedDuration)
		return fallback
	}
	if d < least {
		r.problem(source, value, "is too short", "at least "+formatDuration(least))
		return fallback
	}
	return d
}

// flows reads --only and --skip; both may list flows with commas.
func (r *reader) flows() []item.Flow {
	only, skip := r.flowList("only"), r.flowList("skip")
	if len(only) == 0 {
		only = item.Flows()
	}
	running := slices.DeleteFunc(item.AllFlows(), func(f item.Flow) bool {
		return !slices.Contains(only, f) || slices.Contains(skip, f)
	})
	if len(running) == 0 {
		r.problem("--only, --skip", "", "leave nothing to do", "at least one of "+joinFlows(item.AllFlows()))
	}
	return running
}

// withoutDisk takes previews from what runs where media is deleted through Synapse: its admin API has no call that finds
// the files of a preview, which lie in a tree of their own (synapse/media/media_repository.py:1704-1715, 1.163.2).
func (r *reader) withoutDisk(flows []item.Flow) []item.Flow {
	if !slices.Contains(flows, item.Previews) {
		return flows
	}
	const reason = "Synapse's API leaves the files of previews behind"
	if slices.Contains(r.flowList("only"), item.Previews) {
		r.problem(r.settings["only"].source, string(item.Previews), "cannot be done with --media-via api: "+reason,
			"--media-via disk, or "+joinFlows([]item.Flow{item.History, item.LocalMedia, item.RemoteMedia}))
		return flows
	}
	if len(flows) == 1 {
		r.problem("--media-via, --skip", "", "leave nothing to do: "+reason, "--media-via disk, or another flow")
		return flows
	}
	r.warn("previews stay with --media-via api: " + reason + ". --skip previews says the same without this warning")
	return slices.DeleteFunc(flows, func(f item.Flow) bool { return f == item.Previews })
}

func (r *reader) flowList(name string) []item.Flow {
	var flows []item.Flow
	for _, list := range r.settings[name].values {
		for word := range strings.SplitSeq(list, ",") {
			flow := item.Flow(strings.TrimSpace(word))
			if !slices.Contains(item.AllFlows(), flow) {
				r.problem(r.settings[name].source, word, "is not a flow", joinFlows(item.AllFlows()))
				continue
			}
			flows = append(flows, flow)
		}
	}
	return flows
}

func (r *reader) rooms(name string) []string {
	var rooms []string
	for _, room := range r.settings[name].values {
		isID := len(room) > 1 && room[0] == '!' // version 12 ids have no server part
		isAlias := len(room) > 1 && room[0] == '#' && strings.Contains(room, ":")
		odd := strings.ContainsFunc(room, func(c rune) bool { return unicode.IsSpace(c) || unicode.IsControl(c) })
		if !isID && !isAlias || odd || len(room) > maxRoomBytes {
			r.problem(r.settings[name].source, room, "is not a room", "an id that begins with ! or an alias such as #name:example.org")
			continue
		}
		rooms = append(rooms, room)
	}
	return rooms
}

// globRule says why a glob can fit nothing, or is empty. A list that keeps nothing looks like protection and is none.
type globRule func(glob string) string

func userGlob(glob string) string {
	if glob != keepBridges && (!strings.ContainsAny(glob[:1], `@*?[\`) || !strings.ContainsAny(glob, ":*")) {
		return "fits no user id, which is @name:server, and is not the word " + keepBridges
	}
	return ""
}

func mediaGlob(glob string) string {
	if strings.Contains(glob, "/") {
		return "fits no media id, which is the last part of mxc://server/id"
	}
	return ""
}

func typeGlob(glob string) string {
	if !strings.Contains(glob, "/") {
		return "fits no MIME type, which is such as image/png"
	}
	return ""
}

func (r *reader) globs(name string, rule globRule) []string {
	var globs []string
	for _, glob := range r.settings[name].values {
		source, problem := r.settings[name].source, "is empty"
		if glob != "" {
			problem = rule(glob)
		}
		if _, err := path.Match(glob, ""); err != nil {
			problem = "is not a glob"
		}
		if problem != "" {
			r.problem(source, glob, problem, "a text with * (any characters), ? (one), [a-z] (one of these), \\ before one of them itself")
			continue
		}
		globs = append(globs, glob)
	}
	return globs
}
