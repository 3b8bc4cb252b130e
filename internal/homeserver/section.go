package homeserver

import (
	"fmt"
	"strings"
)

// section is a part of the configuration. What is missing or of another type reads as if it were not there: Synapse
// itself would not have started with it.
type section map[string]any

func (s section) section(key string) section {
	sub, _ := s[key].(map[string]any)
	return sub
}

// text is a scalar as text: a number without quotes is one as well.
func (s section) text(key string) string { return text(s[key]) }

func text(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case int, int64, uint64, float64, bool:
		return fmt.Sprint(v)
	}
	return ""
}

// texts is a list of texts; one text alone is a list of one.
func (s section) texts(key string) (list []string) {
	values, ok := s[key].([]any)
	if !ok {
		if one := s.text(key); one != "" {
			return []string{one}
		}
		return nil
	}
	for _, value := range values {
		list = append(list, text(value))
	}
	return list
}

// sections is a list of sections.
func (s section) sections(key string) (list []section) {
	values, _ := s[key].([]any)
	for _, value := range values {
		if sub, ok := value.(map[string]any); ok {
			list = append(list, sub)
		}
	}
	return list
}

// truth reads what YAML 1.1, which Synapse's reader speaks, takes for true and false.
func (s section) truth(key string, fallback bool) bool {
	switch strings.ToLower(s.text(key)) {
	case "true", "yes", "on":
		return true
	case "false", "no", "off":
		return false
	}
	return fallback
}
