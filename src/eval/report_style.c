/* report_style.c: the report's style sheet: light and dark, narrow and wide, screen and paper. */
#include "eval/report.h"

const char *const diffad_report_style[] = {
    /* Colours: blue for good, orange for anomalous, told apart also by the colour-blind; both grounds have contrast 4.5. */
    ":root{color-scheme:light dark;--ground:#f6f6f4;--card:#fff;--ink:#1b1c1e;--soft:#5c5f66;--line:#dfdfdb;--grid:#ececea;"
    "--c1:#2463c4;--c2:#c4501b;--c3:#6d4bb5;--c4:#0e7c66;--wrong:#b3261e;--wrong-ground:#fdeceb;--right:#1f7a4d}\n",
    "@media (prefers-color-scheme:dark){:root{--ground:#131416;--card:#1c1e21;--ink:#ececee;--soft:#a2a6ae;--line:#33363b;"
    "--grid:#282b2f;--c1:#6ea4f4;--c2:#f08b58;--c3:#ad92ee;--c4:#4dc2a7;--wrong:#ff8f86;--wrong-ground:#3a1f1e;"
    "--right:#6fcf9b}}\n",
    "*{box-sizing:border-box}html{-webkit-text-size-adjust:100%}\n"
    "body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,-apple-system,\"Segoe UI\",Roboto,"
    "\"Noto Sans\",\"DejaVu Sans\",sans-serif}\n"
    "main{max-width:1120px;margin:0 auto;padding:28px 20px 60px}\n"
    "h1{font-size:26px;line-height:1.2;margin:0 0 6px;letter-spacing:-.01em}\n"
    "h2{font-size:19px;margin:40px 0 12px;padding-top:16px;border-top:1px solid var(--line)}\n"
    "h3{font-size:15px;margin:24px 0 8px}p{margin:6px 0}a{color:var(--c1)}\n"
    ".soft{color:var(--soft)}.small{font-size:13px}.undefined{color:var(--soft);font-style:italic;font-weight:400}\n"
    "code{font:13px/1.4 ui-monospace,Menlo,Consolas,\"DejaVu Sans Mono\",monospace;overflow-wrap:anywhere}\n",
    ".note{background:var(--card);border:1px solid var(--line);border-left:4px solid var(--c1);border-radius:8px;"
    "padding:10px 14px;margin:14px 0}\n"
    ".badges{display:flex;flex-wrap:wrap;gap:6px;margin:10px 0 0;padding:0;list-style:none;font-size:13px}\n"
    ".badges li{border:1px solid var(--line);border-radius:999px;padding:1px 10px;background:var(--card)}\n"
    ".badges b{font-weight:600}\n"
    ".tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:20px 0 0}\n"
    ".tile{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 14px}\n"
    ".tile .name{font-size:13px;color:var(--soft)}\n"
    ".tile .value{font-size:27px;line-height:1.25;font-weight:600;font-variant-numeric:tabular-nums}\n"
    ".tile .value small{font-size:14px;font-weight:400;color:var(--soft);margin-left:3px}\n"
    ".tile .value .undefined{font-size:18px}.tile .below{font-size:12.5px;color:var(--soft);line-height:1.35}\n",
    ".scroll{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:10px}\n"
    "table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}\n"
    "th,td{padding:7px 10px;text-align:right;white-space:nowrap;border-top:1px solid var(--grid)}\n"
    "thead th{font-size:12.5px;font-weight:600;color:var(--soft);border-top:0;vertical-align:bottom}\n"
    "thead tr+tr th{padding-top:0}tbody th,th.left,td.left{text-align:left}tbody th{font-weight:600}\n"
    "th.group{text-align:center;border-bottom:1px solid var(--line)}\n"
    "td .paper{display:block;font-size:12px;color:var(--soft);line-height:1.3}\n"
    "tr.sum th,tr.sum td{border-top:2px solid var(--line)}tr.paper th,tr.paper td{color:var(--soft);font-weight:400}\n"
    "tr.wrong td,tr.wrong th{background:var(--wrong-ground)}td.file,th.file{white-space:normal;overflow-wrap:anywhere;"
    "min-width:170px}\n"
    ".wrong-word{color:var(--wrong);font-weight:600}.right-word{color:var(--right);font-weight:600}\n"
    "details{margin:12px 0}summary{cursor:pointer;color:var(--c1);padding:4px 0}\n",
    ".charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,320px),1fr));gap:14px;margin:14px 0}\n"
    ".charts>.wide{grid-column:1/-1}\n"
    ".charts.two{grid-template-columns:repeat(auto-fit,minmax(min(100%,400px),1fr))}\n"
    "figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 14px;min-width:0}\n"
    "figure svg{display:block;width:100%;height:auto}\n"
    "figure.wide{overflow-x:auto}figure.wide svg{min-width:560px}\n"
    "figcaption{font-size:14px;font-weight:600;margin:0 0 2px}\n"
    ".legend{display:flex;flex-wrap:wrap;gap:2px 14px;font-size:13px;color:var(--soft);margin:2px 0 6px}\n"
    ".legend i{display:inline-block;width:14px;height:3px;border-radius:2px;vertical-align:middle;margin-right:6px}\n"
    ".legend i.box{height:10px;width:10px}\n"
    "i.s1{background:var(--c1)}i.s2{background:var(--c2)}i.s3{background:var(--c3)}i.s4{background:var(--c4)}\n",
    "svg text{font-size:11.5px;fill:var(--soft)}svg .grid{stroke:var(--grid);stroke-width:1}\n"
    "svg .axis{stroke:var(--soft);stroke-width:1}svg .curve{fill:none;stroke-width:2;stroke-linejoin:round}\n"
    "svg .diagonal{stroke:var(--soft);stroke-width:1;stroke-dasharray:2 4}\n"
    "svg .threshold{stroke:var(--ink);stroke-width:1.5;stroke-dasharray:5 3}svg text.ink{fill:var(--ink);font-weight:600}\n"
    "svg .l1{stroke:var(--c1)}svg .l2{stroke:var(--c2)}svg .l3{stroke:var(--c3)}svg .l4{stroke:var(--c4)}\n"
    "svg .f1{fill:var(--c1)}svg .f2{fill:var(--c2)}\n",
    ".cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(148px,1fr));gap:12px}\n"
    ".picture{background:var(--card);border:1px solid var(--line);border-radius:10px;overflow:hidden;display:flex;"
    "flex-direction:column}\n"
    ".picture.is-wrong{border-color:var(--wrong);box-shadow:0 0 0 1px var(--wrong)}\n"
    ".picture header{padding:8px 10px;font-size:12.5px;line-height:1.4;flex:1}\n"
    ".picture .file{overflow-wrap:anywhere;color:var(--soft)}.picture .score{font-weight:600;font-size:15px}\n"
    ".picture .worst{display:inline-block;background:var(--wrong);color:var(--card);font-weight:600;border-radius:4px;"
    "padding:0 6px;font-size:11.5px}\n"
    ".picture div.row{padding:0 10px 8px}.picture .label{font-size:11.5px;color:var(--soft);display:block}\n"
    ".picture img{display:block;width:100%;height:auto;background:#000;border-radius:4px;image-rendering:auto}\n",
    ".facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,320px),1fr));gap:14px}\n"
    ".facts section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:10px 14px}\n"
    ".facts h3{margin:0 0 4px}dl{display:grid;grid-template-columns:minmax(100px,auto) 1fr;gap:3px 14px;margin:0;"
    "font-size:13.5px}dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}\n"
    ".explain dl{display:block}.explain dt{color:var(--ink);font-weight:600;margin-top:8px}\n"
    "@media (max-width:560px){main{padding:18px 12px 40px}.cards{grid-template-columns:repeat(2,1fr)}"
    "th,td{padding:6px 8px}.tiles{grid-template-columns:repeat(2,1fr)}}\n"
    "@media print{body{background:#fff}main{max-width:none}.picture,figure,.tile{break-inside:avoid}}\n",
    NULL
};
