// SPDX-License-Identifier: Apache-2.0
// A Go program: netcheck fetch URL [CA] prints a page; netcheck home serves itself on one loopback, by TCP
// and UDP, both families, with 200 clients at once, deadlines, half-closes and a refused port.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"
)

func must(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func want(what string, ok bool) {
	if !ok {
		fmt.Println("not so:", what)
		os.Exit(1)
	}
}

func fetch(url, ca string) {
	client := &http.Client{Timeout: 30 * time.Second}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		must(err)
		pool := x509.NewCertPool()
		want("a CA", pool.AppendCertsFromPEM(pem))
		client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	}
	answer, err := client.Get(url)
	must(err)
	_, err = io.Copy(os.Stdout, answer.Body)
	must(err)
	fmt.Println(answer.Proto)
}

func httpHome(address string) {
	listener, err := net.Listen("tcp", address)
	must(err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Write(append([]byte(r.RemoteAddr+" "), body...))
	})}
	go server.Serve(listener)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 50}}
	payload := bytes.Repeat([]byte("canary "), 20000)
	var all sync.WaitGroup
	for i := 0; i < 200; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			answer, err := client.Post("http://"+listener.Addr().String(), "text/plain", bytes.NewReader(payload))
			must(err)
			body, err := io.ReadAll(answer.Body)
			must(err)
			answer.Body.Close()
			want("the body comes back", bytes.HasSuffix(body, payload))
		}()
	}
	all.Wait()
	client.CloseIdleConnections()
	must(server.Shutdown(context.Background()))
	_, err = net.Dial("tcp", listener.Addr().String())
	want("a closed port refuses", errors.Is(err, syscall.ECONNREFUSED))
}

func tcpHome() {
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(err)
	go func() {
		c, err := listener.AcceptTCP()
		must(err)
		all, err := io.ReadAll(c) // until the client's half-close
		must(err)
		c.Write(all)
		c.Close()
	}()
	c, err := net.DialTCP("tcp", nil, listener.Addr().(*net.TCPAddr))
	must(err)
	must(c.SetKeepAlive(true))
	must(c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)))
	_, err = c.Read(make([]byte, 1))
	want("a deadline passes", errors.Is(err, os.ErrDeadlineExceeded))
	must(c.SetReadDeadline(time.Time{}))
	_, err = c.Write([]byte("half"))
	must(err)
	must(c.CloseWrite())
	all, err := io.ReadAll(c)
	must(err)
	want("half-close", string(all) == "half")
	must(listener.SetDeadline(time.Now().Add(50 * time.Millisecond)))
	_, err = listener.Accept()
	want("accept's deadline passes", errors.Is(err, os.ErrDeadlineExceeded))
}

func udpHome(network, address string) {
	server, err := net.ListenPacket(network, address)
	must(err)
	go func() {
		b := make([]byte, 65536)
		for {
			n, from, err := server.ReadFrom(b)
			if err != nil {
				return
			}
			server.WriteTo(b[:n], from)
		}
	}()
	c, err := net.Dial(network, server.LocalAddr().String())
	must(err)
	b := make([]byte, 65536)
	for _, size := range []int{0, 1, 1400, 60000} {
		_, err = c.Write(bytes.Repeat([]byte{'x'}, size))
		must(err)
		n, err := c.Read(b)
		must(err)
		want("the datagram comes back", n == size)
	}
	server.Close()
}

func main() {
	if os.Args[1] == "fetch" {
		ca := ""
		if len(os.Args) > 3 {
			ca = os.Args[3]
		}
		fetch(os.Args[2], ca)
		return
	}
	httpHome("127.0.0.1:0")
	httpHome("[::1]:0")
	httpHome(":0")
	tcpHome()
	udpHome("udp4", "127.0.0.1:0")
	udpHome("udp6", "[::1]:0")
	interfaces, err := net.Interfaces()
	must(err)
	addresses, err := net.InterfaceAddrs()
	must(err)
	want("interfaces", len(interfaces) > 0 && len(addresses) > 0)
	fmt.Println("go works")
}
