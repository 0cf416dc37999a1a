"""What the demo's voices say: eighteen everyday sentences, the same ones in English and in Mandarin.

They carry no emotion in their words, so that only the prosody can tell. Train speakers say the first nine,
validation speakers the next three, test speakers the last six: no sentence stands in two splits.
"""

from __future__ import annotations

ENGLISH = (
    "The blue cup is standing on the table.",
    "We go to the market every Monday.",
    "My brother plays the piano after dinner.",
    "The train to the coast leaves at eight.",
    "There is a letter for you by the door.",
    "She parked the car behind the house.",
    "He reads the paper before he goes out.",
    "The shop on the corner opens at nine.",
    "They painted the old gate light green.",
    "Our neighbours bought a small white boat.",
    "I put the apples in the paper bag.",
    "The meeting will be over by noon.",
    "You can see the old bridge from here.",
    "The teacher wrote four words on the board.",
    "I keep my keys in the top drawer.",
    "It rained in the hills this morning.",
    "The bus stops near the school.",
    "She bought some rice and a few eggs.",
)

MANDARIN = (
    "蓝色的杯子放在桌子上。",
    "我们每个星期一去市场。",
    "我哥哥晚饭后弹钢琴。",
    "去海边的火车八点开。",
    "门口有一封给你的信。",
    "她把车停在房子后面。",
    "他出门以前先看报纸。",
    "街角的商店九点开门。",
    "他们把旧大门刷成了绿色。",
    "邻居买了一条白色的小船。",
    "我把苹果放进了纸袋里。",
    "会议中午以前就结束了。",
    "从这里可以看到那座老桥。",
    "老师在黑板上写了四个字。",
    "我把钥匙放在上面的抽屉里。",
    "今天早上山里下了雨。",
    "公共汽车停在学校附近。",
    "她买了米和几个鸡蛋。",
)
