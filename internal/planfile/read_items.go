package planfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"

	"synupkeep/internal/item"
)

// Of as many items as these, ids of rooms and hashes of media take one gigabyte each.
const (
	mostRooms = 10_000_000
	mostMedia = 125_000_000
)

// section reads the items of a flow.
func (p *Plan) section(l *lines, flow item.Flow, seed maphash.Seed) error {
	want, ok := p.Totals[flow]
	if !ok {
		return fmt.Errorf("%s has no totals", flow)
	}
	set := newSet(seed, want.Items)
	var total Total
	last, more := "", true
	for {
		line, err := l.next()
		switch {
		case err != nil:
			return err
		case string(line) == endLine:
			if total != want {
				return fmt.Errorf("%s: the totals are %+v, the items make %+v", flow, want, total)
			}
			if more && total.Items > 0 {
				return errors.New("an item is missing after the comma")
			}
			set.seal()
			if flow != item.History {
				p.media[flow] = set
			}
			return nil
		case !more:
			return errors.New("a comma is missing before this line")
		}
		text, found := bytes.CutPrefix(line, []byte(itemIndent))
		if !found {
			return errors.New("this is no item")
		}
		text, more = bytes.CutSuffix(text, []byte(","))
		key, amount, err := p.item(flow, text)
		switch {
		case err != nil:
			return err
		case key <= last:
			return errors.New("the items are not in order")
		case flow == item.History && total.Items == mostRooms, total.Items == mostMedia:
			return fmt.Errorf("these are more items than a plan may have (%d)", total.Items)
		}
		last, total = key, total.plus(flow, amount)
		if flow != item.History {
			set.add(key)
		}
	}
}

// item reads one item, and takes only what would be written again just so.
func (p *Plan) item(flow item.Flow, text []byte) (key string, amount int64, err error) {
	if flow == item.History {
		var room Room
		if err := strictly(text, &room); err != nil {
			return "", 0, err
		}
		if room.Messages < 0 || (room.EventID == "") != room.UnderWay {
			return "", 0, errors.New("this is no room that can be purged")
		}
		p.rooms[room.ID] = Bound{Depth: room.Depth, UnderWay: room.UnderWay}
		return room.ID, room.Messages, nil
	}
	var media Media
	if err := strictly(text, &media); err != nil {
		return "", 0, err
	}
	if media.Bytes < 0 {
		return "", 0, errors.New("the size is negative")
	}
	return media.Key, media.Bytes, nil
}

func strictly(text []byte, v any) error {
	if err := json.Unmarshal(text, v); err != nil {
		return err
	}
	again, err := encode(v)
	if err == nil && !bytes.Equal(again, text) {
		err = errors.New("this item is not as synupkeep writes it")
	}
	return err
}
