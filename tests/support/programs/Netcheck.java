// SPDX-License-Identifier: Apache-2.0
// A Java program: Netcheck fetch URL [HTTP version] prints a page, by URLConnection and by HttpClient; Netcheck home
// serves itself on one loopback: sockets with timeouts, NIO selectors, datagrams, an HTTP server with 100 clients.
import com.sun.net.httpserver.HttpServer;
import java.io.InputStream;
import java.net.*;
import java.net.http.*;
import java.nio.ByteBuffer;
import java.nio.channels.*;
import java.util.*;
import java.util.concurrent.*;

public class Netcheck {
    static void want(String what, boolean ok) {
        if (!ok)
            throw new AssertionError("not so: " + what);
    }

    static void fetch(String url) throws Exception {
        try (InputStream in = new URL(url).openStream()) {
            System.out.print(new String(in.readAllBytes()));
        }
        HttpResponse<String> answer = HttpClient.newHttpClient().send(
                HttpRequest.newBuilder(URI.create(url)).build(), HttpResponse.BodyHandlers.ofString());
        System.out.println(answer.body().trim() + " " + answer.version());
    }

    static void sockets(InetAddress at) throws Exception {
        try (ServerSocket server = new ServerSocket(0, 50, at)) {
            Thread echo = new Thread(() -> {
                try (Socket s = server.accept()) {
                    s.getInputStream().transferTo(s.getOutputStream());
                } catch (Exception e) {
                    e.printStackTrace();
                }
            });
            echo.start();
            try (Socket s = new Socket()) {
                s.connect(server.getLocalSocketAddress(), 5000);
                s.setSoTimeout(50);
                try {
                    s.getInputStream().read();
                    want("a timeout", false);
                } catch (SocketTimeoutException expected) {
                }
                s.setSoTimeout(0);
                s.setTcpNoDelay(true);
                want("the option is read back", s.getTcpNoDelay());
                s.getOutputStream().write("half".getBytes());
                s.shutdownOutput();
                want("half-close", new String(s.getInputStream().readAllBytes()).equals("half"));
            }
            echo.join();
            // Closing the server from another thread ends a waiting accept().
            CompletableFuture<String> end = CompletableFuture.supplyAsync(() -> {
                try {
                    server.accept();
                    return "a connection";
                } catch (Exception e) {
                    return "ended";
                }
            });
            server.setSoTimeout(0);
            server.close();
            want("accept ends", end.get(60, TimeUnit.SECONDS).equals("ended"));
        }
    }

    static void selector(InetAddress at) throws Exception {
        ServerSocketChannel server = ServerSocketChannel.open().bind(new InetSocketAddress(at, 0));
        server.configureBlocking(false);
        Selector selector = Selector.open();
        server.register(selector, SelectionKey.OP_ACCEPT);
        List<SocketChannel> clients = new ArrayList<>();
        for (int i = 0; i < 50; i++) {
            SocketChannel c = SocketChannel.open();
            c.configureBlocking(false);
            c.connect(server.getLocalAddress());
            c.register(selector, SelectionKey.OP_CONNECT);
            clients.add(c);
        }
        int returned = 0;
        while (returned < 50) {
            want("something is ready", selector.select(10000) > 0);
            for (Iterator<SelectionKey> keys = selector.selectedKeys().iterator(); keys.hasNext();) {
                SelectionKey key = keys.next();
                keys.remove();
                if (key.isAcceptable()) {
                    SocketChannel c = ((ServerSocketChannel) key.channel()).accept();
                    if (c == null)
                        continue;
                    c.configureBlocking(false);
                    c.register(selector, SelectionKey.OP_READ, "server side");
                } else if (key.isConnectable()) {
                    SocketChannel c = (SocketChannel) key.channel();
                    want("connected", c.finishConnect());
                    c.write(ByteBuffer.wrap("ping".getBytes()));
                    key.interestOps(SelectionKey.OP_READ);
                } else if (key.isReadable()) {
                    SocketChannel c = (SocketChannel) key.channel();
                    ByteBuffer b = ByteBuffer.allocate(16);
                    if (c.read(b) != 4) {
                        key.cancel();
                        continue;
                    }
                    b.flip();
                    if (key.attachment() != null) {
                        c.write(b);
                    } else {
                        returned++;
                        key.cancel();
                    }
                }
            }
        }
        for (SocketChannel c : clients)
            c.close();
        server.close();
    }

    static void datagrams(InetAddress at) throws Exception {
        try (DatagramSocket server = new DatagramSocket(0, at); DatagramSocket client = new DatagramSocket(0, at)) {
            client.send(new DatagramPacket("ping".getBytes(), 4, server.getLocalSocketAddress()));
            DatagramPacket p = new DatagramPacket(new byte[100], 100);
            server.receive(p);
            want("the sender is seen", p.getPort() == client.getLocalPort() && p.getLength() == 4);
            client.setSoTimeout(50);
            try {
                client.receive(p);
                want("a timeout", false);
            } catch (SocketTimeoutException expected) {
            }
        }
    }

    static void http() throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.setExecutor(Executors.newFixedThreadPool(4));
        server.createContext("/", exchange -> {
            byte[] body = exchange.getRequestBody().readAllBytes();
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        server.start();
        HttpClient client = HttpClient.newHttpClient();
        URI uri = URI.create("http://127.0.0.1:" + server.getAddress().getPort() + "/");
        List<CompletableFuture<HttpResponse<String>>> all = new ArrayList<>();
        for (int i = 0; i < 100; i++)
            all.add(client.sendAsync(HttpRequest.newBuilder(uri).POST(HttpRequest.BodyPublishers.ofString("n" + i)).build(),
                    HttpResponse.BodyHandlers.ofString()));
        for (int i = 0; i < 100; i++)
            want("the body comes back", all.get(i).get(120, TimeUnit.SECONDS).body().equals("n" + i));
        server.stop(0);
    }

    public static void main(String[] args) throws Exception {
        if (args[0].equals("fetch")) {
            fetch(args[1]);
            return;
        }
        for (String at : new String[] {"127.0.0.1", "::1"}) {
            sockets(InetAddress.getByName(at));
            selector(InetAddress.getByName(at));
            datagrams(InetAddress.getByName(at));
        }
        http();
        want("interfaces", NetworkInterface.getNetworkInterfaces().hasMoreElements());
        System.out.println("java works");
        System.exit(0); // the executor's threads
    }
}
