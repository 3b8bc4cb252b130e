package sandbox

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
)

// keptOnRedaction names the event types whose redacted form keeps some of the content. The redaction of these is not
// implemented here, and so they are not planted.
func keptOnRedaction(eventType string) bool {
	switch eventType {
	case "m.room.create", "m.room.member", "m.room.join_rules", "m.room.power_levels", "m.room.aliases",
		"m.room.history_visibility":
		return true
	}
	return false
}

// canonical is Matrix's canonical JSON for maps, slices, strings, integers and booleans: keys sorted, no blanks, nothing
// escaped that need not be. (U+2028 and U+2029, which Go escapes and Matrix does not, must not occur.)
func canonical(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// sign completes an event of room version 4 or later with hash, signature and unsigned data and returns its id and its
// JSON. The event must have none of these yet.
// Source: Matrix specification, server-server API, "Signing events"; room versions 4 to 12, "Redactions".
func sign(event map[string]any, roomVersion, server string, key ed25519.PrivateKey) (id string, js []byte, err error) {
	eventType, _ := event["type"].(string)
	if keptOnRedaction(eventType) {
		return "", nil, fmt.Errorf("events of type %s cannot be planted", eventType)
	}
	full, err := canonical(event)
	if err != nil {
		return "", nil, err
	}
	content, redacts := event["content"], event["redacts"]
	hash := sha256.Sum256(full)
	event["hashes"] = map[string]any{"sha256": base64.RawStdEncoding.EncodeToString(hash[:])}
	event["content"] = redactedContent(eventType, roomVersion, content)
	delete(event, "redacts")
	redacted, err := canonical(event)
	if err != nil {
		return "", nil, err
	}
	reference := sha256.Sum256(redacted)
	signature := base64.RawStdEncoding.EncodeToString(ed25519.Sign(key, redacted))
	event["signatures"] = map[string]any{server: map[string]any{signingKeyID: signature}}
	event["content"] = content
	event["unsigned"] = map[string]any{}
	if redacts != nil {
		event["redacts"] = redacts
	}
	js, err = canonical(event)
	return "$" + base64.RawURLEncoding.EncodeToString(reference[:]), js, err
}

// redactedContent is empty but for redactions since room version 11, which name their target in the content.
func redactedContent(eventType, roomVersion string, content any) map[string]any {
	kept := map[string]any{}
	if c, ok := content.(map[string]any); ok && eventType == "m.room.redaction" && atLeast(roomVersion, 11) && c["redacts"] != nil {
		kept["redacts"] = c["redacts"]
	}
	return kept
}

// atLeast compares a stable room version, which is a number.
func atLeast(roomVersion string, n int) bool {
	v, err := strconv.Atoi(roomVersion)
	return err == nil && v >= n
}
