package sandbox

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"image"
	"image/png"
)

// Picture is a PNG of that size, unlike any other: equal files share their quarantine.
func Picture(width, height int) []byte {
	return append(greyPNG(width, height), rand.Text()...) // decoders ignore what follows the picture
}

func greyPNG(width, height int) []byte {
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, width, height))); err != nil {
		panic(fmt.Sprintf("sandbox: picture of %dx%d: %v", width, height, err))
	}
	return b.Bytes()
}

// thumbnail is one that Synapse makes by default.
type thumbnail struct {
	width, height int
	method        string
	data          []byte
}

// thumbnails are the sizes of the default configuration.
func thumbnails() []thumbnail {
	list := []thumbnail{
		{32, 32, "crop", nil},
		{96, 96, "crop", nil},
		{320, 240, "scale", nil},
		{640, 480, "scale", nil},
		{800, 600, "scale", nil},
	}
	for i := range list {
		list[i].data = greyPNG(list[i].width, list[i].height)
	}
	return list
}

func (t thumbnail) file() string {
	return fmt.Sprintf("%d-%d-image-png-%s", t.width, t.height, t.method)
}

// randomLetters is what Synapse names media with.
func randomLetters(n int) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	b := make([]byte, 0, n)
	for len(b) < n {
		var c [1]byte
		_, _ = rand.Read(c[:]) // never fails
		if i := int(c[0]) & 63; i < len(letters) {
			b = append(b, letters[i])
		}
	}
	return string(b)
}
