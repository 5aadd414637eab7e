package dnszone

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"

	"github.com/miekg/dns"
)

// Dial connects to the server in memory, whatever the address is, so that a test can have a time of its own (testing/synctest). A
// connection ends when whoever has dialled closes it.
func (s *Server) Dial(_ context.Context, network, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	go func() {
		defer far.Close()
		for {
			q, err := readMsg(far, network)
			if err != nil {
				return
			}
			go s.ServeDNS(&memoryWriter{conn: far, network: network}, q)
		}
	}()
	return near, nil
}

func readMsg(conn net.Conn, network string) (*dns.Msg, error) {
	packet := make([]byte, dns.MaxMsgSize)
	if network == "tcp" {
		if _, err := io.ReadFull(conn, packet[:2]); err != nil {
			return nil, err
		}
		packet = packet[:binary.BigEndian.Uint16(packet)]
		if _, err := io.ReadFull(conn, packet); err != nil {
			return nil, err
		}
	} else {
		n, err := conn.Read(packet)
		if err != nil {
			return nil, err
		}
		packet = packet[:n]
	}
	q := new(dns.Msg)
	return q, q.Unpack(packet)
}

// A memoryWriter implements [dns.ResponseWriter] on a connection in memory.
type memoryWriter struct {
	mu      sync.Mutex
	conn    net.Conn
	network string
}

func (w *memoryWriter) LocalAddr() net.Addr { return w.conn.LocalAddr() }

func (w *memoryWriter) RemoteAddr() net.Addr {
	if w.network == "tcp" {
		return &net.TCPAddr{}
	}
	return &net.UDPAddr{}
}

func (w *memoryWriter) WriteMsg(m *dns.Msg) error {
	packet, err := m.Pack()
	if err != nil {
		return err
	}
	_, err = w.Write(packet)
	return err
}

// Write writes one message.
func (w *memoryWriter) Write(packet []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.network == "tcp" {
		packet = append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...)
	}
	return w.conn.Write(packet)
}

func (w *memoryWriter) Close() error      { return w.conn.Close() }
func (w *memoryWriter) TsigStatus() error { return errors.New("there is no TSIG") }
func (w *memoryWriter) TsigTimersOnly(bool) {
}
func (w *memoryWriter) Hijack() {}
