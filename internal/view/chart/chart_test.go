package chart

import (
	"encoding/xml"
	"errors"
	"flag"
	"html/template"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

var began = time.Date(2026, 11, 29, 22, 0, 0, 0, time.UTC)

// frame is six hours of a night, with a gap and a mark.
func frame() Frame {
	return Frame{
		ID: "f", Title: "Outcome", Desc: "What came of mail", From: began, To: began.Add(6 * time.Hour), Step: time.Hour,
		Gaps:  []Span{{began.Add(2 * time.Hour), began.Add(3 * time.Hour), "no record"}},
		Marks: []Mark{{began.Add(4 * time.Hour), "1", "reload"}},
	}
}

func strip() *Strip {
	return &Strip{Frame: frame(), Parts: []Part{
		{"delivered", Good, []int64{10, 20, 0, 30, 40, 50}},
		{"deferred", Wait, []int64{0, 1, 0, 0, 20}},
		{"refused", Bad, []int64{1000, 0, 0, -3, 0, 2}},
	}}
}

func lines() *Lines {
	unknown := math.NaN()
	return &Lines{Frame: frame(), Of: []Line{
		{"p50", Thin, []float64{0.1, 0.1, unknown, 0.25, 2.5, 2.5}},
		{"p90", Thick, []float64{1, 0, unknown, 5, 900, math.Inf(1)}},
		{"p90 a week ago", Dashed, []float64{1, 1}},
	}}
}

func TestAChartIsDrawnAsItsGoldenFileHasIt(t *testing.T) {
	charts := map[string]template.HTML{
		"strip":  strip().SVG() + strip().Legend(),
		"lines":  lines().SVG() + lines().Legend(),
		"spark":  (&Spark{"deferred", []float64{0, 0.001, math.NaN(), 0.5, 2}, Wait}).SVG(),
		"bar":    (&Bar{2 * time.Second, 3 * time.Second, 10 * time.Second, Bad}).SVG(),
		"nobody": (&Strip{Frame: Frame{ID: "n", Title: "Nothing"}}).SVG(),
	}
	for name, got := range charts {
		path := filepath.Join("testdata", name+".svg")
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(want) != string(got) {
			t.Errorf("%s: drawn in another way than %s has it:\n%s", name, path, got)
		}
		wellFormed(t, name, string(got))
	}
}

// wellFormed reads a chart as XML: that is stricter than any browser.
func wellFormed(t *testing.T, name, svg string) (texts []string) {
	t.Helper()
	in := xml.NewDecoder(strings.NewReader("<all>" + svg + "</all>"))
	for {
		token, err := in.Token()
		if errors.Is(err, io.EOF) {
			return texts
		}
		if err != nil {
			t.Fatalf("%s is not well-formed: %v\n%s", name, err, svg)
		}
		switch token := token.(type) {
		case xml.StartElement:
			for _, a := range token.Attr {
				if a.Name.Local == "style" || strings.HasPrefix(a.Name.Local, "on") || strings.Contains(a.Value, "NaN") || strings.Contains(a.Value, "Inf") {
					t.Errorf("%s: %s has %s=%q", name, token.Name.Local, a.Name.Local, a.Value)
				}
			}
			if token.Name.Local == "script" || token.Name.Local == "style" {
				t.Errorf("%s has an element %s", name, token.Name.Local)
			}
		case xml.CharData:
			texts = append(texts, string(token))
		}
	}
}

func TestAStrangersTextIsTextInAChart(t *testing.T) {
	hostile := `</title></svg><script>alert(1)</script><img src=x onerror=alert(1)> " ' & ]]> {{.}}`
	f := frame()
	f.Title, f.Desc, f.Gaps[0].Text, f.Marks[0].Text, f.Marks[0].Label = hostile, hostile, hostile, hostile, hostile
	for name, svg := range map[string]template.HTML{
		"strip": (&Strip{Frame: f, Parts: []Part{{hostile, Bad, []int64{1}}}}).SVG() + (&Strip{Frame: f, Parts: []Part{{hostile, Bad, nil}}}).Legend(),
		"lines": (&Lines{Frame: f, Of: []Line{{hostile, Thin, []float64{1}}}}).SVG(),
		"spark": (&Spark{Title: hostile}).SVG(),
	} {
		found := 0
		for _, text := range wellFormed(t, name, string(svg)) {
			if strings.Contains(text, hostile) {
				found++
			}
		}
		if found == 0 {
			t.Errorf("%s has lost the text, or parts of it:\n%s", name, svg)
		}
	}
}

func TestEachKindHasAPatternAndAColourInBothSchemes(t *testing.T) {
	for _, k := range Kinds {
		if want := ".c-" + string(k) + " { fill: var(--c-" + string(k) + "); }"; !strings.Contains(string(Style), want) {
			t.Errorf("chart.css lacks %q", want)
		}
		if n := strings.Count(string(Style), "--c-"+string(k)+": #"); n != 2 {
			t.Errorf("%s has a colour in %d schemes, want 2", k, n)
		}
		svg := string((&Strip{Frame: frame(), Parts: []Part{{"x", k, []int64{1}}}}).SVG())
		if want := `id="f-` + string(k) + `"`; !strings.Contains(svg, want) {
			t.Errorf("a strip of %s has no %s", k, want)
		}
	}
	patterns := map[string]Kind{}
	for _, k := range Kinds {
		svg := string((&Strip{Frame: frame(), Parts: []Part{{"x", k, nil}}}).SVG())
		_, pattern, _ := strings.Cut(svg, `height="6"/>`)
		pattern, _, _ = strings.Cut(pattern, "</pattern>")
		if other, is := patterns[pattern]; is {
			t.Errorf("%s and %s look alike without colour: %q", k, other, pattern)
		}
		patterns[pattern] = k
	}
}

func TestTicksAreRoundTimesOfTheReadersZoneAndFew(t *testing.T) {
	kolkata := time.FixedZone("IST", 5*3600+1800)
	for _, whole := range []time.Duration{10 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour, 14 * 24 * time.Hour, 400 * 24 * time.Hour} {
		f := Frame{From: began.Add(7 * time.Minute), To: began.Add(7*time.Minute + whole), Step: time.Minute, In: kolkata}
		ticks := f.ticks()
		if len(ticks) < 1 || len(ticks) > mostTicks+1 {
			t.Errorf("%v: %d ticks", whole, len(ticks))
		}
		for _, tick := range ticks {
			if local := tick.At.In(kolkata); local.Second() != 0 || local.Minute()%5 != 0 && whole > 10*time.Minute {
				t.Errorf("%v: a tick at %v", whole, local)
			}
		}
	}
}

func TestWhatIsNotNothingIsSeen(t *testing.T) {
	svg := string((&Strip{Frame: frame(), Parts: []Part{{"delivered", Good, []int64{1_000_000}}, {"refused", Bad, []int64{1}}}}).SVG())
	if !strings.Contains(svg, `url(#f-bad)`) {
		t.Errorf("one refusal beside a million deliveries is not drawn:\n%s", svg)
	}
	if bar := string((&Bar{Took: 1, Of: time.Hour, Kind: Good}).SVG()); !strings.Contains(bar, `width="0.4%"`) {
		t.Errorf("what took a nanosecond of an hour is not drawn: %s", bar)
	}
}

func TestSecondsAreWrittenInOneUnit(t *testing.T) {
	for s, want := range map[float64]string{0.01: "10 ms", 2.5: "2.5 s", 41: "41 s", 60: "1 min", 900: "15 min", 7200: "2 h", math.Inf(1): "> 15 min"} {
		if got := Seconds(s); got != want {
			t.Errorf("Seconds(%v) = %q, want %q", s, got, want)
		}
	}
}
