//go:build chromium

package page_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"
)

// screenshotsEnv names a directory for screenshots, for people to look at.
const screenshotsEnv = "SYNUPKEEP_TEST_SCREENSHOTS"

// browser opens pages, and notes whatever they ask for and whatever the browser complains about.
type browser struct {
	ctx context.Context

	mu         sync.Mutex
	asked      []string
	complaints []string
}

// newBrowser starts Chromium. As root it has no sandbox of its own; the pages are ours.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND"))
	allocator, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	b := &browser{ctx: ctx}
	err := chromedp.Listen(ctx, func(event any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch e := event.(type) {
		case *network.EventRequestWillBeSent:
			b.asked = append(b.asked, e.Request.URL)
		case *log.EventEntryAdded:
			b.complaints = append(b.complaints, e.Entry.Text)
		case *runtime.EventConsoleAPICalled:
			b.complaints = append(b.complaints, "console."+string(e.Type))
		case *runtime.EventExceptionThrown:
			b.complaints = append(b.complaints, e.ExceptionDetails.Text)
		case *page.EventJavascriptDialogOpening:
			b.complaints = append(b.complaints, "dialog: "+e.Message)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	called(t, b, network.Enable, network.EnableParams{})
	called(t, b, log.Enable, cdp.Empty{})
	return b
}

// called calls a command of the protocol.
func called[P, R any](t *testing.T, b *browser, command cdp.Command[P, R], params P) {
	t.Helper()
	if _, err := chromedp.Call(b.ctx, command, params); err != nil {
		t.Fatalf("%s: %v", command.Method, err)
	}
}

// did runs an action.
func did[T any](t *testing.T, b *browser, action chromedp.Action[T]) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	result, err := chromedp.Run(ctx, action)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// open shows the file as a window of that size does.
func (b *browser) open(t *testing.T, path string, width int64, dark bool) {
	t.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	b.mu.Lock()
	b.asked, b.complaints = nil, nil
	b.mu.Unlock()
	called(t, b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: width, Height: 800, DeviceScaleFactor: 1, Mobile: width < 600,
	})
	called(t, b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	did(t, b, chromedp.Navigate("file://"+(&url.URL{Path: path}).EscapedPath()))
}

// alone makes sure that the page asked for nothing but itself, and that nothing in it was blocked or went wrong.
func (b *browser) alone(t *testing.T, path string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.asked) != 1 || !strings.HasSuffix(b.asked[0], filepath.Base(path)) {
		t.Errorf("the browser asked for %q", b.asked)
	}
	if len(b.complaints) > 0 {
		t.Errorf("the browser complains: %q", b.complaints)
	}
}

// fits makes sure that nothing stands out to the right, neither of the page nor of a plot or a part that cannot be moved. It is not
// compared with innerWidth: a phone zooms out until everything is to be seen, and that grows with it.
func (b *browser) fits(t *testing.T, width int64) {
	t.Helper()
	wide := did(t, b, chromedp.Evaluate[[]string](fmt.Sprintf(`(() => {
		const wide = [], width = %d;
		const e = document.documentElement;
		if (e.scrollWidth > width || innerWidth > width) wide.push("page: " + e.scrollWidth + ", " + innerWidth + " > " + width);
		for (const text of document.querySelectorAll("svg text")) {
			const of = text.ownerSVGElement.getBoundingClientRect(), box = text.getBoundingClientRect();
			if (box.left < of.left - 1 || box.right > of.right + 1) wide.push("plot: " + text.textContent + " " + box.left + ".." + box.right + " in " + of.left + ".." + of.right);
		}
		for (const part of document.querySelectorAll("section, header, figure, details, li, p, dd")) {
			if (part.getBoundingClientRect().right > width) wide.push(part.tagName + ": " + part.textContent.slice(0, 60));
		}
		return wide;
	})()`, width)))
	if len(wide) > 0 {
		t.Errorf("too wide:\n%s", strings.Join(wide, "\n"))
	}
}

// legible makes sure that no two texts of a plot overlap.
func (b *browser) legible(t *testing.T) {
	t.Helper()
	over := did(t, b, chromedp.Evaluate[[]string](`(() => {
		const over = [];
		for (const svg of document.querySelectorAll("svg")) {
			const texts = [...svg.querySelectorAll("text")].map(e => [e.textContent, e.getBoundingClientRect()]);
			texts.forEach(([a, r], i) => texts.slice(i + 1).forEach(([b, s]) => {
				if (r.left < s.right - 1 && s.left < r.right - 1 && r.top < s.bottom - 4 && s.top < r.bottom - 4) over.push(a + " / " + b);
			}));
		}
		return over;
	})()`))
	if len(over) > 0 {
		t.Errorf("texts of plots overlap:\n%s", strings.Join(over, "\n"))
	}
}

// shoot takes a picture of the whole page for people.
func (b *browser) shoot(t *testing.T, name string) {
	t.Helper()
	dir := os.Getenv(screenshotsEnv)
	if dir == "" {
		return
	}
	picture := did(t, b, chromedp.FullScreenshot(100))
	if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o600); err != nil {
		t.Fatal(err)
	}
}

func written(t *testing.T, html string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(path, []byte(html), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Each page is opened at the width of a phone and of a desk, light and dark.
func TestPagesInChromium(t *testing.T) {
	b := newBrowser(t)
	for name, html := range map[string]string{
		"run": render(t, good()), "plan": render(t, planned()), "failing": render(t, failing(40)), "attacked": render(t, attacked()),
		"usage": renderUsage(t, spaceUsed()), "nothing": render(t, cleared()),
	} {
		t.Run(name, func(t *testing.T) {
			path := written(t, html)
			for _, width := range []int64{360, 1280} {
				for _, dark := range []bool{false, true} {
					scheme := map[bool]string{false: "light", true: "dark"}[dark]
					b.open(t, path, width, dark)
					b.fits(t, width)
					b.legible(t)
					b.shoot(t, fmt.Sprintf("%s-%d-%s", name, width, scheme))
					did(t, b, chromedp.Evaluate[chromedp.Void](`document.querySelectorAll("details").forEach(d => d.open = true)`))
					b.fits(t, width)
					b.alone(t, path)
				}
			}
		})
	}
}

// On paper the page is light, whatever the reader prefers, and what is folded away is there.
func TestPaperInChromium(t *testing.T) {
	b := newBrowser(t)
	b.open(t, written(t, render(t, failing(40))), 800, true)
	called(t, b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Media: "print", Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}},
	})
	b.fits(t, 800)
	b.shoot(t, "paper")
	got := did(t, b, chromedp.Evaluate[[]string](`(() => {
		const of = (e, property) => getComputedStyle(document.querySelector(e))[property];
		const folded = [...document.querySelectorAll("details td, details li")];
		return [of(":root", "colorScheme"), of("body", "backgroundColor"), of("body", "color"), of(".scroll", "backgroundImage"), of("summary", "display"),
			String(folded.filter(e => !e.checkVisibility({contentVisibilityAuto: true}) || e.getBoundingClientRect().height === 0).length)];
	})()`))
	if diff := cmp.Diff([]string{"light", "rgb(255, 255, 255)", "rgb(27, 31, 36)", "none", "none", "0"}, got); diff != "" {
		t.Errorf("on paper (-want +got):\n%s", diff)
	}
}
