"""Pages through the creatives of one advertiser and counts them: parser.py URL ADVERTISER."""

import json
import os
import sys
import urllib.request

# The server is on this machine, so a proxy that the environment names is not for it.
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def creatives(url, advertiser):
    page = 1
    while page is not None:
        request = urllib.request.Request(
            f"{url}/{advertiser}/{page}", headers={"User-Agent": f"parser/{os.getpid()}"}
        )
        with opener.open(request) as answer:
            content = json.load(answer)
        yield from content["creatives"]
        page = content["next"]


url, advertiser = sys.argv[1:]
print(f"{advertiser}: {sum(1 for _ in creatives(url, advertiser))} creatives")
