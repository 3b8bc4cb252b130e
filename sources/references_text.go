package sources

import (
	"slices"
	"strings"

	"synupkeep/internal/references"
)

// needle is what every text that names local media holds. The slash before the server name is the one character beside
// the name that is never written otherwise: in the JSON of Synapse before 0.34 a slash is \/, which ends with one.
func needle(serverName string) string { return "/" + serverName }

// named returns a hash of the id of all local media that a text names, each once: what stands behind the server's name
// between two slashes, in mxc://server/id as well as in https://anywhere/_matrix/media/v3/download/server/id.
//
// An id that is followed by what could belong to it, such as the full stop of a sentence, counts with and without. What is
// no id after all names nothing that exists.
func named(text, serverName string) (hashes []uint64) {
	name := needle(serverName)
	for {
		at := strings.Index(text, name)
		if at < 0 {
			break
		}
		text = text[at+len(name):]
		id, behindSlash := strings.CutPrefix(strings.TrimLeft(text, `\`), "/")
		if !behindSlash {
			continue
		}
		id = id[:length(id, inID)]
		word := id[:length(id, inWord)]
		for _, id := range []string{id, strings.TrimRight(id, "_-.[]:"), word, strings.TrimRight(word, "_-"), id[:length(id, alphanumeric)]} {
			if id != "" {
				hashes = append(hashes, references.Hash(id))
			}
		}
	}
	slices.Sort(hashes)
	return slices.Compact(hashes)
}

// length is how many characters at the begin of s are of a kind.
func length(s string, is func(byte) bool) int {
	for i := range len(s) {
		if !is(s[i]) {
			return i
		}
	}
	return len(s)
}

func alphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func inWord(c byte) bool { return alphanumeric(c) || c == '_' || c == '-' }

// inID says whether a character may stand in a media id: internal/mediastore finds files of no other.
func inID(c byte) bool { return inWord(c) || strings.IndexByte(".[]:", c) >= 0 }
