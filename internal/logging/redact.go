package logging

import (
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

const stars = "***"

// redactor replaces secrets in texts.
type redactor struct {
	mu       sync.Mutex
	known    []string
	replacer atomic.Pointer[strings.Replacer]
}

func (r *redactor) redact(text string) string {
	replacer := r.replacer.Load()
	if replacer == nil {
		return text
	}
	return replacer.Replace(text)
}

func (r *redactor) add(secrets []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, secret := range secrets {
		if secret != "" {
			r.known = append(r.known, spellings(secret)...)
		}
	}
	// The replacer takes the first that fits: the longest must come first, or it would leave the rest of it behind.
	slices.SortFunc(r.known, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	r.known = slices.Compact(r.known)
	pairs := make([]string, 0, 2*len(r.known))
	for _, known := range r.known {
		pairs = append(pairs, known, stars)
	}
	r.replacer.Store(strings.NewReplacer(pairs...))
}

// spellings are the forms in which a secret reaches messages: itself, escaped for a URL, quoted as libpq and pgx do in
// keyword form, quoted as Go and JSON do.
func spellings(secret string) []string {
	_, userinfo, _ := strings.Cut(url.UserPassword("", secret).String(), ":")
	keyword := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(secret)
	forms := []string{
		secret, strings.TrimSpace(secret), keyword, strings.ReplaceAll(secret, `'`, `''`),
		url.QueryEscape(secret), url.PathEscape(secret), userinfo,
		unquoted(strconv.Quote(secret)), unquoted(strconv.QuoteToASCII(secret)), unquoted(strconv.Quote(keyword)),
	}
	if quoted, err := json.Marshal(secret); err == nil {
		forms = append(forms, unquoted(string(quoted)))
	}
	hex := regexp.MustCompile(`%[0-9A-F]{2}`)
	for _, form := range slices.Clone(forms) {
		forms = append(forms, hex.ReplaceAllStringFunc(form, strings.ToLower))
	}
	return slices.DeleteFunc(forms, func(form string) bool { return form == "" })
}

func unquoted(quoted string) string { return quoted[1 : len(quoted)-1] }
