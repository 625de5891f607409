filedesc://a.arc 0.0.0.0 20060102030405 text/plain 67
1 0 Nobody
URL IP-address Archive-date Content-type Archive-length

http://example.org/ 192.0.2.1 20060102030405 text/html 444
HTTP/1.0 200 OK
Content-Type: text/html

<!doctype html><title>Größe</title><p>One page of many. One page of many. One page of many. One page of many. One page of many. One page of many. One page of many. One page of many. One page of many. One page of many. One page of many. One page of many. One page of many. One page of many. One page of many. One page of many. One page of many. One page of many. One page of many. One page of many. 
dns:example.org 192.0.2.1 20060102030406 text/dns 20
example.org. 1 IN A

