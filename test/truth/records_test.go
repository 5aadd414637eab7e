package truth

import (
	"bufio"
	"encoding/json"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

// reply, transaction and ending are JSON lines, as docs/ref/record.md has them.
type reply struct {
	Code     int      `json:"code"`
	Text     string   `json:"text"`
	Local    bool     `json:"local"`
	Softened bool     `json:"softened"`
	First    float64  `json:"first_ms"`
	Took     float64  `json:"took_ms"`
	Pieces   int      `json:"pieces"`
	Class    string   `json:"class"`
	Rule     string   `json:"rule"`
	Scope    string   `json:"scope"`
	Lists    []string `json:"lists"`
}

type recipient struct {
	Address string `json:"address"`
	Reply   *reply `json:"reply"`
	Told    int    `json:"told"`
	Fate    string `json:"fate"`
	By      string `json:"by"`
	Rule    string `json:"rule"`
}

type identity struct {
	Session   string             `json:"session"`
	Start     time.Time          `json:"start"`
	Source    netip.AddrPort     `json:"source"`
	Local     netip.AddrPort     `json:"local"`
	SendingIP string             `json:"sending_ip"`
	Leg       int                `json:"leg"`
	Duration  float64            `json:"duration_ms"`
	Times     map[string]float64 `json:"times"`
}

type transaction struct {
	identity
	Number     int            `json:"number"`
	Sender     string         `json:"sender"`
	MessageID  string         `json:"message_id"`
	QueueID    string         `json:"msa_queue_id"`
	Received   time.Time      `json:"msa_received"`
	Tenant     string         `json:"tenant"`
	Account    string         `json:"account"`
	Mail       *reply         `json:"mail"`
	Recipients []recipient    `json:"recipients"`
	Results    map[string]int `json:"results"`
	Data       *reply         `json:"data"`
	BodyMS     float64        `json:"body_ms"`
	WindowMS   float64        `json:"window_ms"`
	StalledMS  float64        `json:"stalled_ms"`
	BodyBytes  int            `json:"body_bytes"`
	Dot        *reply         `json:"dot"`
	Outcome    string         `json:"outcome"`
	Cause      string         `json:"cause"`
	By         string         `json:"by"`
	Rule       string         `json:"rule"`
}

type leg struct {
	Leg       int     `json:"leg"`
	Failed    string  `json:"failed"`
	At        float64 `json:"at_ms"`
	SendingIP string  `json:"sending_ip"`
	Local     string  `json:"local"`
}

type ending struct {
	identity
	Transactions int    `json:"transactions"`
	Delivered    int    `json:"delivered"`
	BadCommands  int    `json:"bad_commands"`
	EndPhase     string `json:"end_phase"`
	EndReason    string `json:"end_reason"`
	Cause        string `json:"cause"`
	Octets       struct {
		FromMSA int64 `json:"from_msa"`
		ToMSA   int64 `json:"to_msa"`
		FromMX  int64 `json:"from_mx"`
		ToMX    int64 `json:"to_mx"`
	} `json:"octets"`
	Legs    []leg `json:"legs"`
	Opening []struct {
		Phase string `json:"phase"`
		Leg   int    `json:"leg"`
		Reply *reply `json:"reply"`
	} `json:"opening"`
}

type refusal struct {
	Session   string    `json:"session"`
	Time      time.Time `json:"time"`
	Number    int       `json:"number"`
	Refusal   int       `json:"refusal"`
	SendingIP string    `json:"sending_ip"`
	Action    string    `json:"action"`
	Took      float64   `json:"took_ms"`
	Reply     *reply    `json:"reply"`
}

type decision struct {
	Number int    `json:"number"`
	Step   string `json:"step"`
	Rule   string `json:"rule"`
	Action string `json:"action"`
	Cause  string `json:"cause"`
	Acct   string `json:"account"`
}

// book is what kanmon has written of one session.
type book struct {
	transactions []transaction
	ends         []ending
	refusals     []refusal
	decisions    []decision
	told         []told
	log          []logged
}

// told is when a line says that what it tells was.
type told struct {
	Type  string    `json:"type"`
	At    time.Time `json:"at"`
	Count int       `json:"count"` // stands for so many, and comes late
}

// logged is a line of the session log.
type logged struct {
	at   time.Time
	mark string
	text string
}

// read gives what has been written of each session.
func (w *world) read(t *testing.T) map[*run]*book {
	books := make(map[*run]*book)
	sessions := make(map[string]*book)
	lines(t, w.path("records.json"), func(line string) {
		var of struct {
			Type    string         `json:"type"`
			Session string         `json:"session"`
			Source  netip.AddrPort `json:"source"`
		}
		into(t, line, &of)
		if of.Session == "" {
			return
		}
		b := sessions[of.Session]
		if b == nil {
			b = new(book)
			sessions[of.Session], books[w.runs[of.Source.Addr()]] = b, b
		}
		b.told = append(b.told, as[told](t, line))
		switch of.Type {
		case "transaction":
			b.transactions = append(b.transactions, as[transaction](t, line))
		case "session":
			b.ends = append(b.ends, as[ending](t, line))
		case "refusal":
			b.refusals = append(b.refusals, as[refusal](t, line))
		case "decision":
			b.decisions = append(b.decisions, as[decision](t, line))
		}
	})
	lines(t, w.path("session.log"), func(line string) {
		fields := strings.Fields(line)
		at, err := time.Parse("2006-01-02T15:04:05.000Z07:00", fields[0])
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		_, text, _ := strings.Cut(line, " "+fields[3]+" ")
		if b := sessions[fields[1]]; b != nil {
			b.log = append(b.log, logged{at, fields[3], text})
		}
	})
	return books
}

func lines(t *testing.T, path string, each func(string)) {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	in := bufio.NewScanner(f)
	in.Buffer(nil, 16<<20)
	for in.Scan() {
		each(in.Text())
	}
}

func into(t *testing.T, line string, v any) {
	if err := json.Unmarshal([]byte(line), v); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
}

func as[T any](t *testing.T, line string) (v T) {
	into(t, line, &v)
	return v
}
