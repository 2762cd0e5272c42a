import com.rabbitmq.client.ConnectionFactory;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;

/** Stands between a client and the broker, and cuts their connections. */
final class Proxy implements AutoCloseable {
    private final ServerSocket server = new ServerSocket(0, 50, InetAddress.getByName("127.0.0.1"));
    private final List<Socket> open = new CopyOnWriteArrayList<>();

    Proxy(ConnectionFactory broker) throws IOException {
        Thread accepting = new Thread(() -> {
            try {
                while (true) {
                    Socket client = server.accept();
                    Socket far = new Socket(broker.getHost(), broker.getPort());
                    open.addAll(List.of(client, far));
                    copy(client, far);
                    copy(far, client);
                }
            } catch (IOException closed) {
                // The case has ended.
            }
        });
        accepting.setDaemon(true);
        accepting.start();
    }

    private static void copy(Socket from, Socket to) {
        Thread copying = new Thread(() -> {
            try (InputStream in = from.getInputStream(); OutputStream out = to.getOutputStream()) {
                in.transferTo(out);
            } catch (IOException cut) {
                // That is what it is for.
            }
        });
        copying.setDaemon(true);
        copying.start();
    }

    int port() {
        return server.getLocalPort();
    }

    void cut() throws IOException {
        for (Socket socket : open) {
            if (!socket.isClosed()) {
                socket.setSoLinger(true, 0);
                socket.close();
            }
        }
        open.clear();
    }

    @Override
    public void close() throws IOException {
        server.close();
        cut();
    }
}
