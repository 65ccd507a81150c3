"""What stands between a socket and a cloud function: gateways of AWS, the runtime API of Lambda, the host of Azure."""

from __future__ import annotations

import asyncio
import base64
import inspect
import json
import queue
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Headers = list[tuple[str, str]]
Answer = tuple[int, dict[str, str], bytes]
Take = Callable[[str, str, Headers, bytes], Answer]
Document = dict[str, Any]
Shape = Callable[[str, str, Headers, bytes], Document]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # of connections that wait; the default of 5 resets others


@contextmanager
def http_server(take: Take) -> Iterator[int]:
    """Call ``take(method, path, headers, body)`` for each request, and return the port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self._chunks() if self.headers["transfer-encoding"] else self.rfile.read(self._length())
            status, headers, content = take(self.command, self.path, self.headers.items(), body)
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() != "content-length":
                    self.send_header(name, value)
            if status != 204:
                self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else content)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer

        def _length(self) -> int:
            return int(self.headers["content-length"] or 0)

        def _chunks(self) -> bytes:
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the name is given
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join(20)


# AWS Lambda: the documents that its gateways make of a request


def rest_api(method: str, path: str, headers: Headers, body: bytes) -> Document:
    """The document of an API Gateway REST API (payload 1.0)."""
    by_name: dict[str, list[str]] = {}
    for name, value in headers:
        by_name.setdefault(name, []).append(value)
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": {name: values[-1] for name, values in by_name.items()} or None,
        "multiValueHeaders": by_name or None,
        "queryStringParameters": None,
        "requestContext": {"stage": "prod", "path": f"/prod{path}", "httpMethod": method, "protocol": "HTTP/1.1"},
        **_body(body, always=True),
    }


def binary_rest_api(method: str, path: str, headers: Headers, body: bytes) -> Document:
    """The document of a REST API whose binary media types are ``*/*``."""
    encoded = {"body": base64.b64encode(body).decode() or None, "isBase64Encoded": bool(body)}
    return rest_api(method, path, headers, body) | encoded


def http_api(method: str, path: str, headers: Headers, body: bytes) -> Document:
    """The document of an API Gateway HTTP API (payload 2.0), whose names of headers are in lower case."""
    lower: dict[str, str] = {}
    for name, value in headers:
        lower[name.lower()] = f"{lower[name.lower()]},{value}" if name.lower() in lower else value
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": f"/prod{path}",
        "rawQueryString": "",
        "headers": lower,
        "requestContext": {
            "stage": "prod",
            "http": {"method": method, "path": f"/prod{path}", "sourceIp": "192.0.2.1"},
        },
        **_body(body),
    }


def function_url(method: str, path: str, headers: Headers, body: bytes) -> Document:
    """The document of a function URL: payload 2.0, without stage, and base64 for what is no text."""
    document = http_api(method, path, headers, body)
    document["rawPath"] = document["requestContext"]["http"]["path"] = path
    is_text = document["headers"].get("content-type", "").startswith(("application/json", "text/"))
    encoded = {} if is_text or not body else {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
    return document | encoded


def _body(body: bytes, *, always: bool = False) -> Document:
    if not body:
        return {"body": None, "isBase64Encoded": False} if always else {"isBase64Encoded": False}
    return {"body": body.decode("utf-8", "replace"), "isBase64Encoded": False}


def _answer_of(response: Document) -> Answer:
    content: str = response.get("body", "")
    body = base64.b64decode(content) if response.get("isBase64Encoded") else content.encode()
    return response["statusCode"], response.get("headers", {}), body


@contextmanager
def lambda_gateway(handler: Callable[[Document, Any], Document], shape: Shape) -> Iterator[int]:
    """Call a Lambda function of this process for each request, and return the port."""

    def take(method: str, path: str, headers: Headers, body: bytes) -> Answer:
        document = json.loads(json.dumps(shape(method, path, headers, body)))
        return _answer_of(json.loads(json.dumps(handler(document, None))))

    with http_server(take) as port:
        yield port


@contextmanager
def lambda_runtime(shape: Shape) -> Iterator[tuple[int, str]]:
    """Return the port of a gateway, and the address of the runtime API for a process with the AWS runtime client."""
    waiting: queue.Queue[tuple[str, Document]] = queue.Queue()
    results: dict[str, queue.Queue[Document]] = {}

    def gateway(method: str, path: str, headers: Headers, body: bytes) -> Answer:
        request_id = str(len(results))
        results[request_id] = queue.Queue()
        waiting.put((request_id, shape(method, path, headers, body)))
        return _answer_of(results[request_id].get(timeout=30))

    def runtime_api(method: str, path: str, headers: Headers, body: bytes) -> Answer:
        if path.endswith("/invocation/next"):
            request_id, document = waiting.get()
            about = {
                "Content-Type": "application/json",
                "Lambda-Runtime-Trace-Id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700",
                "Lambda-Runtime-Aws-Request-Id": request_id,
                "Lambda-Runtime-Deadline-Ms": "9999999999999",
                "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-north-1:123456789012:function:shop",
            }
            return 200, about, json.dumps(document).encode()
        if path.endswith("/response"):
            results[path.split("/")[-2]].put(json.loads(body))
        elif path.endswith("/error"):
            failed = {"statusCode": 502, "headers": {}, "body": body.decode()}
            for result in results.values():
                result.put(failed)
        return 202, {}, b"{}"

    with http_server(runtime_api) as api_port, http_server(gateway) as port:
        yield port, f"127.0.0.1:{api_port}"


# Azure Functions


@contextmanager
def azure_host(app: Any) -> Iterator[int]:
    """Call the functions of an Azure Functions app for each request, with Azure's own converters; return the port."""
    from azure.functions.http import HttpRequestConverter, HttpResponseConverter
    from azure.functions.meta import Datum

    functions = [(each.get_trigger(), each.get_user_function()) for each in app.get_functions()]

    def take(method: str, path: str, headers: Headers, body: bytes) -> Answer:
        for trigger, function in functions:
            parts = _match(trigger.route, path.removeprefix("/api").lstrip("/"))
            if parts is None:
                continue
            if method not in [each.value for each in trigger.methods]:
                return 405, {"allow": "POST"}, b""
            value = {
                "method": Datum(method, "string"),
                "url": Datum(f"https://shop.azurewebsites.net{path}", "string"),
                "headers": {name: Datum(text, "string") for name, text in headers},
                "params": {name: Datum(text, "string") for name, text in parts.items()},
                "query": {},
                "body": Datum(body, "bytes"),
            }
            request = HttpRequestConverter.decode(Datum(value, "http"), trigger_metadata={})
            response = function(**{trigger.name: request})
            if inspect.isawaitable(response):
                response = asyncio.run(_wait_for(response))
            found = HttpResponseConverter.encode(response, expected_type=None).value
            texts = {name: each.value for name, each in found["headers"].items()}
            return int(found["status_code"].value), texts, found["body"].value
        return 404, {}, b""

    with http_server(take) as port:
        yield port


async def _wait_for(response: Any) -> Any:
    return await response


def _match(route: str, path: str) -> dict[str, str] | None:
    """Return the parameters of a path, of which the last part of the route may be optional."""
    wanted, given = route.split("/"), urllib.parse.unquote(path).split("/")
    optional = [part for part in wanted if part.endswith("?}")]
    if not len(wanted) - len(optional) <= len(given) <= len(wanted):
        return None
    parts: dict[str, str] = {}
    for pattern, part in zip(wanted, given, strict=False):
        if pattern.startswith("{"):
            parts[pattern.strip("{}?")] = part
        elif pattern != part:
            return None
    return parts
