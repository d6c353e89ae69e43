"""The style sheet and the few lines of script of every report page; what uses them is data/report.py.

Light and dark by the reader's own setting, always light on paper. Charts are drawn in the colours of
data/plots.py PALETTE, which the last rules turn into the page's own. Nothing is fetched.
"""

from data.plots import PALETTE

_LIGHT = {
    **PALETTE,
    "bg": "#ffffff",
    "sunk": "#f4f7fa",
    "accent": "#0b5f58",
    "good": "#0f6b3c",
    "good-soft": "#e2f5e9",
    "warn": "#8a3d0a",
    "warn-soft": "#fdf1d3",
    "bad": "#a31621",
    "bad-soft": "#fde5e5",
}
_DARK = {
    "text": "#e6ebf2",
    "soft": "#a8b6ca",
    "line": "#2b3a52",
    "strong": "#7386a1",
    "one": "#2dd4bf",
    "two": "#fbbf24",
    "three": "#93b4ff",
    "four": "#d8b4fe",
    "bg": "#0d1422",
    "sunk": "#162133",
    "accent": "#6ee7d8",
    "good": "#86e0a8",
    "good-soft": "#11301f",
    "warn": "#fcd34d",
    "warn-soft": "#3a2d0a",
    "bad": "#ff9d9d",
    "bad-soft": "#421a1e",
}

_RULES = """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--bg);color:var(--text);
 font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,"Noto Sans","PingFang SC",
 "Hiragino Sans GB","Microsoft YaHei","Noto Sans CJK SC","Source Han Sans SC",sans-serif}
:lang(zh){line-height:1.7}
main{position:relative;max-width:1040px;margin:0 auto;padding:0 24px}
.top{display:flex;justify-content:space-between;align-items:center;padding-top:20px;color:var(--soft);
 font-size:14px}
.choice{position:absolute;opacity:0;pointer-events:none}
.choices{border:1px solid var(--strong);border-radius:8px;overflow:hidden;display:flex}
.choices label{padding:4px 12px;cursor:pointer;color:var(--soft)}
#in-en:checked~.top label[for=in-en],#in-zh:checked~.top label[for=in-zh]{background:var(--accent);
 color:var(--bg);font-weight:600}
#in-en:focus-visible~.top .choices,#in-zh:focus-visible~.top .choices{outline:3px solid var(--one);
 outline-offset:2px}
#in-en:checked~* [lang=zh],#in-zh:checked~* [lang=en]{display:none}
h1{font-size:32px;line-height:1.2;margin:18px 0 4px;overflow-wrap:anywhere}
h2{font-size:22px;line-height:1.3;margin:48px 0 8px;padding-top:16px;border-top:1px solid var(--line)}
h3{font-size:16px;margin:0 0 2px}
p{margin:8px 0;max-width:72ch}
bdi{overflow-wrap:anywhere}
a{color:var(--accent)}
.soft{color:var(--soft)}
.lead{font-size:18px}
.lead p{max-width:68ch}
.note{border-left:4px solid var(--strong);background:var(--sunk);padding:10px 16px;margin:12px 0;
 border-radius:0 8px 8px 0}
.note p{margin:4px 0}
.note ul{margin:4px 0;padding-left:22px}
.note li{margin:2px 0}
.note.good{border-color:var(--good);background:var(--good-soft)}
.note.warn{border-color:var(--warn);background:var(--warn-soft)}
.note.block{border-color:var(--bad);background:var(--bad-soft)}
.level{display:inline-block;font-size:13px;font-weight:700;padding:1px 9px;border-radius:99px;background:var(--sunk);
 color:var(--soft);white-space:nowrap}
.level.good{background:var(--good-soft);color:var(--good)}
.level.warn{background:var(--warn-soft);color:var(--warn)}
.level.block{background:var(--bad-soft);color:var(--bad)}
.keys{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:20px 0;padding:0}
.keys div{background:var(--sunk);border-radius:10px;padding:12px 14px}
.keys dt{font-size:14px;color:var(--soft)}
.keys dd{margin:0;font-size:26px;font-weight:650;line-height:1.25;font-variant-numeric:tabular-nums;
 overflow-wrap:anywhere}
.keys dd small{display:block;font-size:13px;font-weight:400;color:var(--soft);line-height:1.4}
.contents{font-size:15px;margin:12px 0;padding:0;list-style:none;display:flex;flex-wrap:wrap;gap:2px 18px}
.flow{display:flex;flex-wrap:wrap;gap:8px;list-style:none;margin:16px 0;padding:0}
.flow li{flex:1 1 120px;background:var(--sunk);border-radius:10px;padding:10px 14px;position:relative}
.flow li+li::before{content:"→";position:absolute;left:-14px;top:14px;color:var(--strong);font-weight:700}
.flow b{display:block;font-size:22px;font-variant-numeric:tabular-nums}
.flow span,.flow small{font-size:14px;color:var(--soft)}
.trail{list-style:none;margin:16px 0;padding:0 0 0 10px}
.trail li{display:grid;grid-template-columns:10em 1fr;gap:16px;padding:0 0 16px 22px;position:relative;
 border-left:2px solid var(--line)}
.trail li:last-child{border-left-color:transparent;padding-bottom:0}
.trail li::before{content:"";position:absolute;left:-7px;top:6px;width:12px;height:12px;border-radius:50%;
 background:var(--one)}
.trail li>span,.trail small{font-size:14px;color:var(--soft)}.trail small{display:block}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(420px,100%),1fr));gap:28px;align-items:start}
.grid>*{min-width:0}
figure{margin:16px 0;min-width:0;max-width:520px}
figure svg{display:block;width:100%;height:auto;margin:6px 0 0}
figure svg text{font-family:Arial,"Liberation Sans",Helvetica,"Noto Sans","PingFang SC","Hiragino Sans GB",
 "Microsoft YaHei","Noto Sans CJK SC",sans-serif}
figcaption .soft{font-size:14px}
.axis{font-size:13px;color:var(--soft)}
.axis.x{text-align:center}
.legend{font-size:14px;display:flex;flex-wrap:wrap;gap:2px 16px}
.legend i{display:inline-block;width:12px;height:12px;border-radius:3px;margin-right:6px}
.scroll{overflow-x:auto;margin:12px 0}
table{border-collapse:collapse;font-size:14.5px;min-width:min(100%,320px)}
caption{text-align:left;font-weight:650;padding:4px 0}
th,td{text-align:left;padding:5px 14px 5px 0;border-bottom:1px solid var(--line);vertical-align:top}
th{font-weight:600;color:var(--soft);font-size:13.5px;vertical-align:bottom}
.num{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td bdi{overflow-wrap:anywhere}
td a bdi,td code{overflow-wrap:break-word}
td:not(.num){min-width:5em}
.bar{display:block;width:90px;height:8px;margin-top:7px}
details{margin:6px 0}
summary{cursor:pointer;color:var(--accent);font-size:14px}
code,pre{font:14px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
pre{background:var(--sunk);border-radius:8px;padding:10px 14px;margin:6px 0 14px;overflow-x:auto}
code{overflow-wrap:anywhere}
pre code{overflow-wrap:normal}
.finding{border:1px solid var(--line);border-radius:10px;padding:12px 16px;margin:12px 0}
.finding h3{display:inline;margin-right:8px}
.finding ul{margin:6px 0;padding-left:20px;font-size:14.5px}
.foot{margin:56px 0 32px;padding-top:12px;border-top:1px solid var(--line);color:var(--soft);font-size:14px}
@media (max-width:560px){body{font-size:15px}main{padding-left:16px;padding-right:16px}
 h1{font-size:26px}.lead{font-size:16.5px}.keys{grid-template-columns:1fr 1fr}
 .trail li{grid-template-columns:1fr;gap:2px}
 .flow{flex-direction:column}.flow li{flex:none}.flow li+li::before{content:"↓";left:14px;top:-15px}}
@media print{@page{margin:16mm}body{font-size:10.5pt}main{max-width:none;padding:0}
 .choices,.contents,details:not([open]){display:none}h1{font-size:22pt}h2{font-size:15pt;margin-top:20pt}
 h2,h3,caption,.axis.y{break-after:avoid}figure,.finding,.keys div,.note,.flow,.trail li,tr,pre{break-inside:avoid}
 thead{display:table-header-group}.scroll,pre{overflow:visible}pre{white-space:pre-wrap;overflow-wrap:anywhere}
 .note,.keys div,.flow li,pre,.level{border:1px solid var(--line);background:none}
 figure{max-width:13cm}.grid{grid-template-columns:1fr 1fr;gap:14pt}
 svg,.legend i,.bar{-webkit-print-color-adjust:exact;print-color-adjust:exact}table,th{font-size:9pt}}
"""

SCRIPT = (
    "(function(){var z=document.getElementById('in-zh'),e=document.getElementById('in-en'),r=document.documentElement;"
    "function f(){r.lang=z.checked?'zh':'en';document.title=r.getAttribute('data-'+r.lang)||document.title}"
    "if(/^zh/i.test(navigator.language||'')){z.checked=true}z.onchange=e.onchange=f;f()})();"
)
"""Takes the browser's language at first and keeps the page's `lang` and title in step; the rest needs no script."""


def style() -> str:
    """The whole style sheet."""
    light = ";".join(f"--{name}:{value}" for name, value in _LIGHT.items())
    dark = ";".join(f"--{name}:{value}" for name, value in _DARK.items())
    chart = "".join(
        f'figure svg [fill="{value}"]{{fill:var(--{name})}}figure svg [stroke="{value}"]{{stroke:var(--{name})}}'
        f".legend .{name}{{background:var(--{name})}}"
        for name, value in PALETTE.items()
    )
    bar = ".bar rect{fill:var(--one)}.bar{background:var(--sunk);border-radius:4px}"
    return (
        f":root{{color-scheme:light dark;{light}}}"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}"
        f"@media print{{:root{{color-scheme:light}}}}{_RULES}{chart}{bar}"
    )
